// A statement's rows as values: integers of address columns become addresses again.
#pragma once

#include <sqlite3.h>

#include <span>
#include <vector>

#include "vitrine/query/database.h"

namespace vitrine::sql {

class ResultRows {
public:
    // Both outlive it.
    ResultRows(sqlite3_stmt* statement, std::span<const Table* const> tables);

    // with_row: the statement stands at its first row.
    std::span<const ResultColumn> columns(bool with_row);
    // The row the statement stands at; valid until the next call.
    std::span<const Value> current();

private:
    [[nodiscard]] ResultColumn describe(int column) const;

    sqlite3_stmt* statement_;
    std::span<const Table* const> tables_;
    std::vector<ResultColumn> columns_;
    std::vector<bool> from_expression_;
    std::vector<Value> row_;
};

}  // namespace vitrine::sql
