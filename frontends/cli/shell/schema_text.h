// A table's specification as the CREATE TABLE statement that would make it, with comments.
#pragma once

#include <string>

#include "vitrine/query/table.h"

namespace vitrine::cli {

[[nodiscard]] std::string create_table_text(const TableSpec& spec);

}  // namespace vitrine::cli
