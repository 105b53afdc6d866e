// What a statement asks of one table, out of all that SQLite offers: one key at most, and which guest.
#pragma once

#include <sqlite3.h>

#include <span>

#include "vitrine/query/table.h"

namespace vitrine::sql {

// Numbers of constraints; -1: nothing.
struct Constraints {
    int vm = -1, index = -1, plain = -1, pattern = -1;
    [[nodiscard]] int key() const { return index >= 0 ? index : plain >= 0 ? plain : pattern; }
};

[[nodiscard]] Constraints constraints_of(std::span<const Column> columns, sqlite3_index_info* info);

}  // namespace vitrine::sql
