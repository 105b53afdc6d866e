#include "query/sqlite/result_rows.h"

#include <algorithm>
#include <string_view>

#include "query/sqlite/table_module.h"

namespace vitrine::sql {
namespace {

std::string text_or_empty(const char* text) { return text == nullptr ? std::string() : std::string(text); }

ColumnType kind_of_value(int type) {
    switch (type) {
        case SQLITE_INTEGER: return ColumnType::integer;
        case SQLITE_FLOAT: return ColumnType::real;
        default: return ColumnType::text;
    }
}

}  // namespace

ResultRows::ResultRows(sqlite3_stmt* statement, std::span<const Table* const> tables)
    : statement_(statement), tables_(tables) {
    const int count = sqlite3_column_count(statement);
    for (int i = 0; i < count; ++i) {
        columns_.push_back(describe(i));
        from_expression_.push_back(sqlite3_column_decltype(statement, i) == nullptr);
    }
    row_.resize(columns_.size());
}

ResultColumn ResultRows::describe(int column) const {
    ResultColumn described;
    described.name = text_or_empty(sqlite3_column_name(statement_, column));
    described.table = text_or_empty(sqlite3_column_table_name(statement_, column));
    const std::string origin = text_or_empty(sqlite3_column_origin_name(statement_, column));
    const std::string_view declared = [&] {
        const char* text = sqlite3_column_decltype(statement_, column);
        return text == nullptr ? std::string_view() : std::string_view(text);
    }();
    for (const ColumnType type : {ColumnType::integer, ColumnType::address, ColumnType::real, ColumnType::boolean}) {
        if (declared == sql_type(type)) described.type = type;
    }
    for (const Table* table : tables_) {
        if (table->spec.name != described.table) continue;
        for (const Column& of : table->spec.columns) {
            if (of.name == origin) described.unit = of.unit;
        }
    }
    return described;
}

std::span<const ResultColumn> ResultRows::columns(bool with_row) {
    for (std::size_t i = 0; i < columns_.size() && with_row; ++i) {
        if (from_expression_[i]) columns_[i].type = kind_of_value(sqlite3_column_type(statement_, static_cast<int>(i)));
    }
    return columns_;
}

// Values are asked for once: each sqlite3_column_*() would look the statement and its state up anew. A connection that one thread uses may ask
// the value itself (https://www.sqlite.org/c3ref/column_blob.html).
std::span<const Value> ResultRows::current() {
    for (std::size_t i = 0; i < row_.size(); ++i) {
        sqlite3_value* value = sqlite3_column_value(statement_, static_cast<int>(i));
        switch (sqlite3_value_type(value)) {
            case SQLITE_INTEGER: {
                const std::int64_t number = sqlite3_value_int64(value);
                if (columns_[i].type == ColumnType::address) row_[i] = AddressValue{static_cast<std::uint64_t>(number)};
                else row_[i] = number;
                break;
            }
            case SQLITE_FLOAT: row_[i] = sqlite3_value_double(value); break;
            case SQLITE_NULL: row_[i] = Value(); break;
            default: {
                const auto* bytes = static_cast<const char*>(sqlite3_value_blob(value));
                const auto size = static_cast<std::size_t>(sqlite3_value_bytes(value));
                const std::string_view text = bytes == nullptr ? std::string_view() : std::string_view(bytes, size);
                // The row before had a text here, mostly: its memory serves again.
                if (auto* of_last_row = std::get_if<std::string>(&row_[i])) of_last_row->assign(text);
                else row_[i] = std::string(text);
            }
        }
    }
    return row_;
}

}  // namespace vitrine::sql
