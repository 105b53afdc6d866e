// The parts of run_table() that the SQL engine takes apart: it keeps rows itself.
#pragma once

#include "vitrine/query/table.h"

namespace vitrine {

// One run of the table's generator, with nothing held back: the rows count only if the guest is still the same afterwards
// (Guest::verify). unsupported: this kind of guest has no such table.
Result<WalkReport> generate_rows(const Table& table, Guest& guest, QueryContext& context, RowSink& sink);

// What puts everything in doubt that is read of this guest now, as diagnostics.
void tell_doubts(const Table& table, Guest& guest, RowSink& sink);

}  // namespace vitrine
