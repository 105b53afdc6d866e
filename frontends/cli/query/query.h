// Asking a table and writing its rows: the way of every command that lists something of a guest.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "app/session.h"
#include "query/row_filter.h"
#include "query/views.h"
#include "vitrine/query/table.h"

namespace vitrine::cli {

struct Sort {
    std::string column;  // "": as the rows come
    bool falling = false;
};

struct Query {
    const Table* table = nullptr;
    const View* view = nullptr;        // null: the table as it is
    std::vector<std::string> columns;  // of the answer; empty: the view's in tables, all elsewhere
    std::vector<RowFilter> filters;    // all must accept
    Sort sort;
    bool paused = false;
    bool strict = false;
};

[[nodiscard]] const Table* find_table(const Session& session, std::string_view name);
[[nodiscard]] std::optional<std::size_t> column_index(const TableSpec& spec, std::string_view name);

// The shared row options, checked against the table. Reports what is wrong with them.
OrExit<Query> make_query(Session& session, const Table& table, const View* view, const Arguments& arguments);

// Runs it, writes the rows, says what is to be said about them. Returns the exit code.
int run_query(Session& session, Guest& guest, const Query& query);

// make_query, attach, run_query for the named command's view.
int run_view(Session& session, const Arguments& arguments, std::string_view command, std::vector<RowFilter> filters);

// What became of a table's walk.
struct Outcome {
    WalkReport report;
    std::vector<Diagnostic> diagnostics;  // the first kMostDiagnostics
    std::size_t diagnostic_count = 0;     // all of them, those of severity info not counted
    std::size_t rows = 0;                 // delivered by the table
    std::size_t shown = 0;                // accepted and written
    std::chrono::microseconds took{};
    std::optional<std::chrono::microseconds> paused_for;

    static constexpr std::size_t kMostDiagnostics = 200;
    [[nodiscard]] bool complete() const { return report.end == WalkEnd::complete && diagnostic_count == 0; }
};

// Runs a table's generator, paused if wanted; the caller's sink gets the rows.
OrExit<Outcome> walk_table(Session& session, Guest& guest, const Table& table, std::uint64_t used_columns, bool paused,
                           FunctionRef<bool(std::span<const Value>)> row);

// Tells on stderr how sure the rows are; the exit code that follows (0, or 5).
int conclude(Session& session, const Table& table, const Outcome& outcome, bool strict);

}  // namespace vitrine::cli
