#include "vitrine/query/database.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <deque>
#include <set>

#include "query/sqlite/functions.h"
#include "query/sqlite/plain_scan.h"
#include "query/sqlite/program.h"
#include "query/sqlite/result_rows.h"
#include "query/sqlite/statement.h"
#include "query/sqlite/table_module.h"
#include "vitrine/guest/guest.h"

namespace vitrine {
namespace {

using sql::kDiagnosticsTable;
using sql::Statement;

// Everything but reading is refused; SQLite asks while it compiles a statement.
// A virtual table that is used for the first time is declared then, which SQLite takes for a change of its schema.
int authorize(void* state, int action, const char*, const char* name, const char*, const char*) {
    if (static_cast<const sql::ModuleState*>(state)->declaring) return SQLITE_OK;
    switch (action) {
        case SQLITE_SELECT:
        case SQLITE_READ:
        case SQLITE_RECURSIVE: return SQLITE_OK;
        // It shows an address of this process.
        case SQLITE_FUNCTION:
            return name != nullptr && sqlite3_stricmp(name, "fts3_tokenizer") == 0 ? SQLITE_DENY : SQLITE_OK;
        default: return SQLITE_DENY;
    }
}

struct Closer {
    void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Handle = std::unique_ptr<sqlite3, Closer>;
using Prepared = std::unique_ptr<sqlite3_stmt, Closer>;

class SqliteDatabase final : public Database {
public:
    SqliteDatabase(std::vector<NamedGuest> guests, std::span<const Table* const> tables)
        : guests_(std::move(guests)), tables_(tables.begin(), tables.end()), scans_(tables_) {
        state_.guests = guests_;
    }

    Result<void> set_up() {
        sqlite3* opened = nullptr;
        constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX;
        const int code = sqlite3_open_v2(":memory:", &opened, kFlags, nullptr);
        handle_.reset(opened);
        if (code != SQLITE_OK) return broken("cannot be opened");
        sqlite3_db_config(opened, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
        sqlite3_db_config(opened, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
        sqlite3_db_config(opened, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, nullptr);
        // "x" is a name and never a text: a misspelt column is an error.
        sqlite3_db_config(opened, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
        // Nothing of a guest goes to the host's disk by itself.
        if (sqlite3_exec(opened, "PRAGMA temp_store = MEMORY", nullptr, nullptr, nullptr) != SQLITE_OK)
            return broken("cannot be set up");
        // SQLite's own table functions are declared at their first use, which is no reading.
        for (const char* own : {"SELECT 1 FROM json_each('[]')", "SELECT 1 FROM json_tree('[]')"})
            sqlite3_exec(opened, own, nullptr, nullptr, nullptr);
        for (const Table* table : tables_) {
            modules_.push_back({table, &state_});
            if (sql::register_table(opened, modules_.back()) != SQLITE_OK) return broken("takes no tables");
        }
        if (sql::register_functions(opened, state_) != SQLITE_OK) return broken("takes no functions");
        limit(opened);
        sqlite3_set_authorizer(opened, authorize, &state_);
        return {};
    }

    Result<QueryReport> query(std::string_view text, const QueryLimits& limits, ResultSink& sink) override {
        return query(text, {}, limits, sink);
    }
    Result<QueryReport> query(std::string_view text, std::span<const Value> parameters, const QueryLimits& limits,
                              ResultSink& sink) override;
    void set_paused(bool paused) override { paused_ = paused; }
    void interrupt() override {
        cancelled_.store(true, std::memory_order_relaxed);
        sqlite3_interrupt(handle_.get());
    }
    [[nodiscard]] std::span<const Table* const> tables() const override { return tables_; }

private:
    static void limit(sqlite3* database) {
        sqlite3_limit(database, SQLITE_LIMIT_LENGTH, 1 << 20);  // no step of SQLite's may take long
        sqlite3_limit(database, SQLITE_LIMIT_SQL_LENGTH, 1 << 20);
        sqlite3_limit(database, SQLITE_LIMIT_EXPR_DEPTH, 200);
        sqlite3_limit(database, SQLITE_LIMIT_COMPOUND_SELECT, 100);
        sqlite3_limit(database, SQLITE_LIMIT_VDBE_OP, 1 << 18);
        sqlite3_limit(database, SQLITE_LIMIT_ATTACHED, 0);
        sqlite3_limit(database, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000);
        sqlite3_limit(database, SQLITE_LIMIT_WORKER_THREADS, 0);
    }
    Error broken(std::string_view what) const {
        return Error::with_text(Errc::io, Origin::table,
                                fmt::format("SQLite {}: {}", what, sqlite3_errmsg(handle_.get())));
    }
    static int progress(void* self) {
        auto& database = *static_cast<SqliteDatabase*>(self);
        return database.state_.statement->must_end(database.sqlite_bytes()) ? 1 : 0;
    }
    [[nodiscard]] std::size_t sqlite_bytes() const {
        const sqlite3_int64 now = sqlite3_memory_used();
        return now > bytes_before_ ? static_cast<std::size_t>(now - bytes_before_) : 0;
    }

    static Error interrupted() { return Error::with_text(Errc::cancelled, Origin::user, "the query was interrupted"); }
    Result<Prepared> prepare(std::string_view text) const;
    Result<void> bind(sqlite3_stmt* statement, std::span<const Value> parameters) const;
    Result<QueryReport> run(std::string_view text, std::span<const Value> parameters, const QueryLimits& limits,
                            ResultSink& sink, Statement& statement);
    static Result<QueryReport> hand_on(const sql::PlainScan& scan, std::span<const NamedGuest> guests,
                                       const QueryLimits& limits, ResultSink& sink, Statement& statement);
    Error failed(const Statement& statement) const;
    void remember(const Result<QueryReport>& report, Statement& statement);

    std::vector<NamedGuest> guests_;
    std::vector<const Table*> tables_;
    sql::PlainScans scans_;
    sql::ModuleState state_;
    std::deque<sql::TableModule> modules_;  // at stable addresses
    Handle handle_;                         // closed before what its modules point to
    std::vector<Diagnostic> previous_;
    std::atomic<bool> cancelled_ = false;
    bool paused_ = false;
    sqlite3_int64 bytes_before_ = 0;
};
Result<Prepared> SqliteDatabase::prepare(std::string_view text) const {
    if (text.find('\0') != std::string_view::npos)
        return Error::with_text(Errc::usage, Origin::user, "there is a NUL byte in the SQL");
    sqlite3_stmt* made = nullptr;
    const char* rest = nullptr;
    const int code = sqlite3_prepare_v2(handle_.get(), text.data(), static_cast<int>(text.size()), &made, &rest);
    Prepared prepared(made);
    const bool no_rows = made != nullptr && (sqlite3_stmt_readonly(made) == 0 || sqlite3_column_count(made) == 0);
    if (code == SQLITE_AUTH || no_rows) {
        return Error::with_text(Errc::usage, Origin::user, "only SELECT is possible: guests are read, never changed",
                                "vitrine schema lists the tables");
    }
    // A table that is declared meanwhile fails otherwise (SQLITE_ERROR).
    if (code == SQLITE_INTERRUPT || (code != SQLITE_OK && cancelled_)) return interrupted();
    if (code != SQLITE_OK) {
        return Error::with_text(Errc::usage, Origin::user, fmt::format("SQL: {}", sqlite3_errmsg(handle_.get())),
                                "vitrine schema lists the tables, vitrine schema TABLE its columns");
    }
    if (made == nullptr) return Error::with_text(Errc::usage, Origin::user, "there is no statement in this text");
    sqlite3_stmt* second = nullptr;
    const auto left = static_cast<int>(text.data() + text.size() - rest);
    const int more = sqlite3_prepare_v2(handle_.get(), rest, left, &second, nullptr);
    const Prepared other(second);
    if (more == SQLITE_INTERRUPT || (more != SQLITE_OK && cancelled_)) return interrupted();
    if (more != SQLITE_OK || second != nullptr)
        return Error::with_text(Errc::usage, Origin::user, "more than one statement", "give them one at a time");
    return prepared;
}

Result<void> SqliteDatabase::bind(sqlite3_stmt* statement, std::span<const Value> parameters) const {
    const int wanted = sqlite3_bind_parameter_count(statement);
    if (static_cast<std::size_t>(wanted) > parameters.size()) {
        return Error::with_text(
            Errc::usage, Origin::user,
            fmt::format("the statement has {} parameters and {} values were given", wanted, parameters.size()));
    }
    struct Visitor {
        sqlite3_stmt* statement;
        int place;
        int operator()(std::monostate) const { return sqlite3_bind_null(statement, place); }
        int operator()(std::int64_t v) const { return sqlite3_bind_int64(statement, place, v); }
        int operator()(double v) const { return sqlite3_bind_double(statement, place, v); }
        int operator()(AddressValue v) const {
            return sqlite3_bind_int64(statement, place, static_cast<sqlite3_int64>(v.value));
        }
        int operator()(const std::string& v) const {
            return sqlite3_bind_text64(statement, place, v.data(), v.size(), SQLITE_STATIC, SQLITE_UTF8);
        }
    };
    for (int i = 0; i < wanted; ++i) {
        if (std::visit(Visitor{statement, i + 1}, parameters[static_cast<std::size_t>(i)]) != SQLITE_OK)
            return broken("takes no value");
    }
    return {};
}

Error SqliteDatabase::failed(const Statement& statement) const {
    if (statement.failure()) return *statement.failure();
    const int code = sqlite3_errcode(handle_.get());
    if (code == SQLITE_NOMEM)
        return Error::with_text(Errc::limit, Origin::user, "out of memory", "ask for less: WHERE, LIMIT");
    if (code == SQLITE_TOOBIG)
        return Error::with_text(Errc::limit, Origin::user, "a value is longer than 1 MiB", "use substr()");
    if (code == SQLITE_INTERRUPT || cancelled_) return interrupted();
    return Error::with_text(Errc::usage, Origin::user, fmt::format("SQL: {}", sqlite3_errmsg(handle_.get())));
}

Result<QueryReport> SqliteDatabase::run(std::string_view text, std::span<const Value> parameters,
                                        const QueryLimits& limits, ResultSink& sink, Statement& statement) {
    if (const auto* scan = scans_.known(text)) return hand_on(*scan, guests_, limits, sink, statement);
    const Prepared prepared = VITRINE_TRY(prepare(text));
    if (const auto* scan = scans_.learn(handle_.get(), prepared.get(), text))
        return hand_on(*scan, guests_, limits, sink, statement);
    VITRINE_CHECK(bind(prepared.get(), parameters));
    if (sql::tells_rows_apart(handle_.get(), text)) statement.needs_row_numbers();
    sql::ResultRows rows(prepared.get(), tables_);
    std::uint64_t given = 0;
    bool stopped = false;
    int code = sqlite3_step(prepared.get());
    // What kind of values an expression has shows with the first row.
    if (code == SQLITE_ROW || code == SQLITE_DONE) sink.columns(rows.columns(code == SQLITE_ROW));
    for (; code == SQLITE_ROW && !stopped; code = stopped ? code : sqlite3_step(prepared.get())) {
        if (given == limits.rows) {
            statement.fail(sql::too_many_rows(limits));
            break;
        }
        ++given;
        stopped = !sink.row(rows.current());
    }
    if (!stopped && code != SQLITE_DONE) return failed(statement);
    QueryReport report = statement.report();
    report.rows = given;
    report.stopped = stopped;
    return report;
}

Result<QueryReport> SqliteDatabase::hand_on(const sql::PlainScan& scan, std::span<const NamedGuest> guests,
                                            const QueryLimits& limits, ResultSink& sink, Statement& statement) {
    const auto given = sql::hand_on(scan, guests, limits, sink, statement);
    if (!given) return *statement.failure();
    QueryReport report = statement.report();
    report.rows = given->rows;
    report.stopped = given->stopped;
    return report;
}

Result<QueryReport> SqliteDatabase::query(std::string_view text, std::span<const Value> parameters,
                                          const QueryLimits& limits, ResultSink& sink) {
    if (state_.statement != nullptr)  // asked by the sink: the statement that runs would lose what it holds
        return Error::with_text(Errc::usage, Origin::user, "another statement of this database is running");
    bytes_before_ = sqlite3_memory_used();
    Statement statement({guests_, limits, paused_, previous_, &cancelled_});
    const sql::Running running(state_, statement);
    constexpr int kSteps = 1000;  // of SQLite's machine, some 10 µs
    sqlite3_progress_handler(handle_.get(), kSteps, progress, this);
    auto report = run(text, parameters, limits, sink, statement);
    sqlite3_progress_handler(handle_.get(), 0, nullptr, nullptr);
    remember(report, statement);
    cancelled_ = false;  // not at the beginning: one that comes just before counts
    return report;
}

// Asking for the diagnostics leaves them as they are.
void SqliteDatabase::remember(const Result<QueryReport>& report, Statement& statement) {
    if (report) {
        const auto& readings = report->readings;
        const bool only_asked = !readings.empty() && std::all_of(readings.begin(), readings.end(), [](const auto& of) {
            return of.table == kDiagnosticsTable;
        });
        if (!only_asked) previous_ = report->diagnostics;
        return;
    }
    previous_ = statement.report().diagnostics;
    previous_.push_back({Severity::error, "", report.error().to_string(), 0, guests_.empty() ? "" : guests_[0].name});
}

}  // namespace

bool QueryReport::complete() const {
    return diagnostic_count == 0 && std::all_of(readings.begin(), readings.end(), [](const TableReading& reading) {
               return !reading.failure && reading.walk.end == WalkEnd::complete;
           });
}

bool is_complete_statement(std::string_view text) { return sqlite3_complete(std::string(text).c_str()) != 0; }

Result<std::unique_ptr<Database>> Database::open(std::vector<NamedGuest> guests) {
    return open(std::move(guests), all_tables());
}

Result<std::unique_ptr<Database>> Database::open(std::vector<NamedGuest> guests, std::span<const Table* const> tables) {
    std::set<std::string_view> names;
    for (const NamedGuest& guest : guests) {
        if (!names.insert(guest.name).second) {
            return Error::with_text(Errc::usage, Origin::user, fmt::format("two guests are called '{}'", guest.name),
                                    "each needs a name of its own");
        }
    }
    auto database = std::make_unique<SqliteDatabase>(std::move(guests), tables);
    VITRINE_CHECK(database->set_up());
    return std::unique_ptr<Database>(std::move(database));
}

}  // namespace vitrine
