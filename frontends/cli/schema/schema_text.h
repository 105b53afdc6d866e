// The tables as texts: what `vitrine schema`, docs/tables and the manual page say of them, all made of the tables themselves.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/query/database.h"
#include "vitrine/query/table.h"

namespace vitrine::cli {

// "linux", ...; "any" for a table about the machine itself.
[[nodiscard]] std::vector<std::string_view> table_guests(const Table& table);
// "task_struct.comm"; "task_struct.__state or .state" where there are alternatives.
[[nodiscard]] std::string need_text(const MemberNeed& need);
// Of all its generators, each once.
[[nodiscard]] std::vector<const NeedGroup*> table_needs(const Table& table);

[[nodiscard]] std::string table_markdown(const Table& table);  // docs/tables/NAME.md
[[nodiscard]] std::string tables_markdown(std::span<const Table* const> tables,
                                          std::span<const FunctionSpec> functions);  // docs/tables/README.md
[[nodiscard]] std::string tables_man(std::span<const Table* const> tables);  // the section TABLES, without its heading

}  // namespace vitrine::cli
