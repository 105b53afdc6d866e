#include "shell/schema_text.h"

#include <fmt/format.h>

#include <algorithm>

namespace vitrine::cli {
namespace {

// Addresses are integers to SQLite; the comment says that they are shown otherwise.
std::string_view sql_type(ColumnType type) {
    switch (type) {
        case ColumnType::integer:
        case ColumnType::address: return "INTEGER";
        case ColumnType::real: return "REAL";
        case ColumnType::text: return "TEXT";
        case ColumnType::boolean: return "BOOLEAN";
    }
    return "";
}

std::string comment(const Column& column) {
    std::string text(column.doc);
    if (column.type == ColumnType::address) text += " (0x...)";
    if (column.unit != Unit::none) text += fmt::format(" ({})", to_string(column.unit));
    if (column.role == ColumnRole::index) text += " (= is answered without reading all rows)";
    return text;
}

}  // namespace

std::string create_table_text(const TableSpec& spec) {
    std::string text = fmt::format("-- {}\nCREATE TABLE {} (\n", spec.summary, spec.name);
    std::size_t width = std::string_view("vm TEXT HIDDEN").size();
    for (const Column& column : spec.columns) {
        width = std::max(width, column.name.size() + 1 + sql_type(column.type).size());
    }
    for (const Column& column : spec.columns) {
        text += fmt::format("    {:<{}}  -- {}\n", fmt::format("{} {},", column.name, sql_type(column.type)), width + 1,
                            comment(column));
    }
    return text + fmt::format("    {:<{}}  -- the guest, not part of SELECT *\n);\n", "vm TEXT HIDDEN", width + 1);
}

}  // namespace vitrine::cli
