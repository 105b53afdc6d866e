// A statement that only hands on the rows of one table (SELECT columns FROM table). To run SQLite's program for it would cost several times
// what the rows cost: the engine does what the program says itself.
#pragma once

#include <sqlite3.h>

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "query/sqlite/statement.h"

namespace vitrine::sql {

struct PlainScan {
    const Table* table = nullptr;
    std::vector<std::size_t> columns;  // of the table, one for each of the result; behind the last: vm
    std::vector<ResultColumn> header;
};

// Those of one database, by their text. Its tables never change, and so neither does what a text means.
class PlainScans {
public:
    explicit PlainScans(std::span<const Table* const> tables) : tables_(tables) {}

    // Null: not one that was seen before.
    [[nodiscard]] const PlainScan* known(std::string_view text) const;
    // Null: SQLite has more to do. `statement` is the text, prepared.
    const PlainScan* learn(sqlite3* database, sqlite3_stmt* statement, std::string_view text);

private:
    std::span<const Table* const> tables_;
    std::map<std::string, PlainScan, std::less<>> scans_;
};

struct RowsGiven {
    std::uint64_t rows = 0;
    bool stopped = false;  // by the sink
};
// nullopt: the statement must end; its failure() says why.
std::optional<RowsGiven> hand_on(const PlainScan& scan, std::span<const NamedGuest> guests, const QueryLimits& limits,
                                 ResultSink& sink, Statement& statement);

// The answer has more rows than it may.
[[nodiscard]] Error too_many_rows(const QueryLimits& limits);

}  // namespace vitrine::sql
