// What SQLite's program for a statement does, as EXPLAIN lists it (https://www.sqlite.org/opcode.html).
#pragma once

#include <sqlite3.h>

#include <optional>
#include <string_view>
#include <vector>

namespace vitrine::sql {

// Does it use row numbers?
[[nodiscard]] bool tells_rows_apart(sqlite3* database, std::string_view text);

// The columns, by number, that a statement gives which does nothing else than hand on all rows of one table; nullopt of all other
// statements. Which table it is, the statement's columns tell.
[[nodiscard]] std::optional<std::vector<std::size_t>> columns_handed_on(sqlite3* database, std::string_view text);

}  // namespace vitrine::sql
