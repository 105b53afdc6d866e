// What to do about a statement that SQLite refused: the name that was probably meant.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "vitrine/query/table.h"

namespace vitrine::cli {

// message: as SQLite puts it ("no such column: pdi"). "" if nothing helps.
[[nodiscard]] std::string sql_error_hint(std::string_view message, std::string_view sql,
                                         std::span<const Table* const> tables);

}  // namespace vitrine::cli
