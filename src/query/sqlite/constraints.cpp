#include "query/sqlite/constraints.h"

#include <cstring>

namespace vitrine::sql {
namespace {

bool is_binary(sqlite3_index_info* info, int constraint) {
    const char* collation = sqlite3_vtab_collation(info, constraint);
    return collation != nullptr && std::strcmp(collation, "BINARY") == 0;
}

}  // namespace

Constraints constraints_of(std::span<const Column> columns, sqlite3_index_info* info) {
    Constraints found;
    const auto first = [](int& place, int i) { place = place < 0 ? i : place; };
    for (int i = 0; i < info->nConstraint; ++i) {
        const auto& constraint = info->aConstraint[i];
        if (constraint.usable == 0 || constraint.iColumn < 0) continue;
        const auto column = static_cast<std::size_t>(constraint.iColumn);
        if (constraint.op == SQLITE_INDEX_CONSTRAINT_GLOB || constraint.op == SQLITE_INDEX_CONSTRAINT_LIKE) {
            if (column < columns.size() && column < 63 && columns[column].type == ColumnType::text)
                first(found.pattern, i);
            continue;
        }
        if (constraint.op != SQLITE_INDEX_CONSTRAINT_EQ || !is_binary(info, i)) continue;
        if (column >= columns.size()) found.vm = i;
        else if (columns[column].type == ColumnType::real || column >= 63) continue;
        else if (columns[column].role == ColumnRole::index) first(found.index, i);
        else first(found.plain, i);
    }
    return found;
}

}  // namespace vitrine::sql
