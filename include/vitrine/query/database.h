// SQL over guests: every table of every guest is a read-only virtual table of one SQLite database. All front ends ask through this.
//
//   auto database = VITRINE_TRY(Database::open({{"web1", *guest}}));
//   RowSet root = VITRINE_TRY(database->query("SELECT pid, name FROM processes WHERE uid = 0"));      // see row_set.h
//
// or row by row:
//
//   Lines sink;                                                      // a ResultSink
//   QueryReport report = VITRINE_TRY(database->query("SELECT pid, name FROM processes WHERE uid = 0", {}, sink));
//   if (!report.complete()) ...                                      // report.diagnostics says what could not be read
//
// Several guests are one database: each table holds the rows of all of them, told apart by the hidden column vm (not part of
// SELECT *). A statement reads each table of each guest at most once as a whole; tables of a running guest that is not paused are read at
// different moments, and the report says so.
//
// Addresses are 64-bit integers to SQLite, which compares them as signed: = and joins are right, < is not for kernel addresses. Functions:
//   addr(X)         the address a number or a text "0x..." stands for; of a number, the text "0x..."
//   addr_lt(A, B)   1 if A < B, both taken as unsigned
//   sym(A [, VM])   the kernel symbol an address lies in: "name+0x10"; NULL if none
//
// Not thread-safe, but for interrupt(). One statement at a time: a sink that asks its own database anew gets Errc::usage. Guests outlive the
// database.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/base/result.h"
#include "vitrine/query/table.h"

namespace vitrine {

struct NamedGuest {
    std::string name;  // the value of vm; must be unique
    Guest& guest;
};

struct QueryLimits {
    std::chrono::milliseconds time{60'000};
    std::uint64_t rows = 10'000'000;      // of the answer
    std::uint64_t memory = 512ull << 20;  // bytes that SQLite and the tables read may keep
};

struct ResultColumn {
    std::string name;
    ColumnType type = ColumnType::text;  // of expressions: what the value of the first row is
    Unit unit = Unit::none;
    std::string table;  // where it comes from unchanged; "" of expressions
};

class ResultSink {
public:
    virtual ~ResultSink() = default;
    // Once, before the rows; also when there are none.
    virtual void columns(std::span<const ResultColumn> columns) = 0;
    virtual bool row(std::span<const Value> values) = 0;  // false: stop
};

// One table of one guest as a statement read it.
struct TableReading {
    std::string vm;
    std::string table;
    WalkReport walk;         // of the last reading
    std::uint64_t rows = 0;  // all readings together
    unsigned times = 0;  // how often it was read: once as a whole, once for each of the few keys looked up before that
    std::chrono::microseconds took{};
    std::chrono::system_clock::time_point when;  // of the first reading
    std::optional<Error> failure;                // why there are no rows: this kind of target has no such table, say
};

// How the rows of a statement came to be, and what they lack.
struct QueryReport {
    std::vector<TableReading> readings;
    std::vector<Diagnostic> diagnostics;  // the first kMostDiagnostics, those of severity error first
    std::uint64_t diagnostic_count = 0;   // all of them, those of severity info not counted
    std::uint64_t rows = 0;               // of the answer
    bool stopped = false;                 // by the sink
    std::chrono::microseconds took{};

    static constexpr std::size_t kMostDiagnostics = 1000;
    // Every table that was read was read whole, and nothing was in doubt.
    [[nodiscard]] bool complete() const;
    // "mapped", "copied", "image"...: how the guests are read; several are separated by commas.
    std::string method;
    // Tables of a running guest that were read one after the other need not fit each other.
    bool one_moment = true;
};

class RowSet;

class Database {
public:
    // usage: two guests of one name. `tables`: those that the database has; all_tables() by default.
    static Result<std::unique_ptr<Database>> open(std::vector<NamedGuest> guests);
    static Result<std::unique_ptr<Database>> open(std::vector<NamedGuest> guests, std::span<const Table* const> tables);

    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;
    virtual ~Database() = default;

    // One SELECT statement. Errors: usage (what SQLite says of the text), limit (time, rows, memory: says which), stale (a guest
    // rebooted or ended), interrupted as Errc::cancelled. Rows given before an error are not complete.
    virtual Result<QueryReport> query(std::string_view sql, const QueryLimits& limits, ResultSink& sink) = 0;
    // The same, with values for the parameters ?1, ?2, ... of the statement.
    virtual Result<QueryReport> query(std::string_view sql, std::span<const Value> parameters,
                                      const QueryLimits& limits, ResultSink& sink) = 0;
    // The whole answer at once (query/row_set.h). limit: it takes more bytes than limits.memory.
    Result<RowSet> query(std::string_view sql, std::span<const Value> parameters = {}, const QueryLimits& limits = {});
    // The guests stand still from here on (their vCPUs are paused), or go on: two tables then fit each other, or need not.
    virtual void set_paused(bool paused) = 0;
    // From any thread or a signal handler: the statement that runs ends with Errc::cancelled.
    virtual void interrupt() = 0;

    // What a shell completes. "processes", ...; names of functions with their arguments.
    [[nodiscard]] virtual std::span<const Table* const> tables() const = 0;

protected:
    Database() = default;
};

struct FunctionSpec {
    std::string_view name;       // "addr_lt"
    std::string_view arguments;  // "A, B"
    std::string_view doc;        // one line
};
[[nodiscard]] std::span<const FunctionSpec> sql_functions();  // ours, besides SQLite's own

// Is the text one complete statement (it ends with a semicolon that is in no string or comment)?
[[nodiscard]] bool is_complete_statement(std::string_view sql);

}  // namespace vitrine
