// Statements that only hand rows on, and patterns that are matched before rows are kept: both give what SQLite alone would give.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sqlite3.h>

#include <cmath>
#include <new>

#include "query/sqlite/program.h"
#include "support/guest_test_support.h"
#include "vitrine/query/database.h"

namespace vitrine::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Answered final : ResultSink {
    void columns(std::span<const ResultColumn> given) override {
        ++headers;
        header.assign(given.begin(), given.end());
    }
    bool row(std::span<const Value> values) override {
        rows.emplace_back(values.begin(), values.end());
        return rows.size() < most;
    }
    unsigned headers = 0;
    std::vector<ResultColumn> header;
    std::vector<std::vector<Value>> rows;
    std::size_t most = SIZE_MAX;
};

GuestDescription description(unsigned tasks = 40) {
    GuestDescription d;
    d.types.seed = 93;
    d.tasks = tasks;
    return d;
}

// What a generator may give and SQLite gives back otherwise: numbers where addresses belong, addresses where numbers do, no number.
constexpr auto kOddColumns = std::to_array<Column>({
    {"number", ColumnType::integer, "an address"},
    {"place", ColumnType::address, "a number"},
    {"real", ColumnType::real, "not a number, now and then"},
    {"text", ColumnType::text, "with a NUL, NULL or empty"},
});

Result<WalkReport> generate_odd(Guest&, QueryContext&, RowSink& sink) {
    const std::string with_nul("a\0b", 3);
    for (std::uint64_t i = 0; i < 600; ++i) {
        const std::array<Value, 4> row = {
            i % 2 == 0 ? Value(AddressValue{~i}) : Value(), Value(static_cast<std::int64_t>(i) - 5),
            i % 3 == 0 ? Value(std::nan("")) : Value(static_cast<double>(i) / 4),
            i % 5 == 0 ? Value() : Value(i % 5 == 1 ? with_nul : std::string(i % 7, 'x'))};
        if (!sink.row(row)) break;
    }
    return WalkReport{};
}

Result<WalkReport> generate_broken(Guest&, QueryContext&, RowSink& sink) {
    const std::array<Value, 4> row;
    static_cast<void>(sink.row(row));
    return Error::make(Errc::not_found, Origin::types, "a member");
}

constexpr auto kOdd = std::to_array<Generator>({{"", generate_odd}});
const Table kOddTable{{"odd", "", kOddColumns, {}}, kOdd};
constexpr auto kBroken = std::to_array<Generator>({{"", generate_broken}});
const Table kBrokenTable{{"broken", "", kOddColumns, {}}, kBroken};

class PlainScans : public ::testing::TestWithParam<bool> {
protected:
    void SetUp() override {
        for (int i = 0; i < 2; ++i) {
            auto machine = made_.machine(made_.vcpus());
            machine->live = GetParam();
            auto guest = attach(std::move(machine));
            ASSERT_TRUE(guest);
            guests_.push_back(std::move(*guest));
        }
        tables_.assign(all_tables().begin(), all_tables().end());
        tables_.push_back(&kOddTable);
        tables_.push_back(&kBrokenTable);
        auto opened = Database::open({{"one", *guests_[0]}, {"two", *guests_[1]}}, tables_);
        ASSERT_TRUE(opened);
        database_ = std::move(*opened);
    }
    Answered ask_sql(const std::string& sql, const QueryLimits& limits = {}) {
        Answered answer;
        auto report = database_->query(sql, limits, answer);
        EXPECT_TRUE(report) << sql << ": " << report.error().to_string();
        if (report) report_ = std::move(*report);
        return answer;
    }

    SyntheticGuest made_{description()};
    std::vector<std::unique_ptr<Guest>> guests_;
    std::vector<const Table*> tables_;
    std::unique_ptr<Database> database_;
    QueryReport report_;
};

// A LIMIT of all rows leaves them to SQLite.
TEST_P(PlainScans, GiveWhatSqliteGives) {
    for (const Table* table : tables_) {
        if (table == &kBrokenTable) continue;
        const auto columns = table->spec.columns;
        const std::string name(table->spec.name);
        const std::string last = fmt::format("\"{}\"", columns.back().name);
        const std::string first = fmt::format("\"{}\"", columns.front().name);
        const std::vector<std::string> lists = {"*", "*, vm", last + ", vm, " + first + " AS x", last};
        for (const std::string& wanted : lists) {
            const std::string sql = fmt::format("SELECT {} FROM {}", wanted, name);
            SCOPED_TRACE(sql);
            const Answered by_sqlite = ask_sql(sql + " LIMIT -1");
            const QueryReport expected = report_;
            for (int times = 0; times < 2; ++times) {  // the second is known
                const Answered plain = ask_sql(sql);
                EXPECT_EQ(plain.headers, 1u);
                EXPECT_EQ(plain.rows, by_sqlite.rows);
                ASSERT_EQ(plain.header.size(), by_sqlite.header.size());
                for (std::size_t i = 0; i < plain.header.size(); ++i) {
                    EXPECT_EQ(plain.header[i].name, by_sqlite.header[i].name);
                    EXPECT_EQ(plain.header[i].type, by_sqlite.header[i].type);
                    EXPECT_EQ(plain.header[i].unit, by_sqlite.header[i].unit);
                    EXPECT_EQ(plain.header[i].table, by_sqlite.header[i].table);
                }
                EXPECT_EQ(report_.rows, expected.rows);
                EXPECT_EQ(report_.complete(), expected.complete());
                EXPECT_EQ(report_.diagnostic_count, expected.diagnostic_count);
                ASSERT_EQ(report_.readings.size(), expected.readings.size());
                for (std::size_t i = 0; i < expected.readings.size(); ++i) {
                    EXPECT_EQ(report_.readings[i].vm, expected.readings[i].vm);
                    EXPECT_EQ(report_.readings[i].walk.end, expected.readings[i].walk.end);
                    EXPECT_EQ(report_.readings[i].failure.has_value(), expected.readings[i].failure.has_value());
                    EXPECT_EQ(report_.readings[i].times, expected.readings[i].times);
                }
            }
        }
    }
}

TEST_P(PlainScans, KeepTheLimits) {
    QueryLimits limits;
    for (const std::uint64_t most : {0u, 1u, 255u, 256u, 599u, 600u, 1199u}) {
        limits.rows = most;
        Answered answer;
        const auto report = database_->query("SELECT * FROM odd", limits, answer);
        ASSERT_FALSE(report) << most;
        EXPECT_EQ(report.error().code, Errc::limit);
        EXPECT_EQ(answer.rows.size(), most);
    }
    limits.rows = 1200;
    EXPECT_EQ(ask_sql("SELECT * FROM odd", limits).rows.size(), 1200u);
    limits.time = std::chrono::milliseconds(0);
    Answered late;
    const auto report = database_->query("SELECT * FROM odd", limits, late);
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code, Errc::limit);
}

TEST_P(PlainScans, EndWhenTheCallerWantsNoMore) {
    for (const std::size_t most : {1u, 600u, 601u, 1200u}) {
        Answered answer;
        answer.most = most;
        const auto report = database_->query("SELECT text FROM odd", {}, answer);
        ASSERT_TRUE(report);
        EXPECT_TRUE(report->stopped);
        EXPECT_EQ(report->rows, most);
        EXPECT_EQ(answer.rows.size(), most);
        EXPECT_EQ(report->readings.back().walk.end, WalkEnd::complete);
    }
}

// Of a guest that runs nothing is given before it is known to be the same still.
TEST_P(PlainScans, ATableThatFailsSaysSo) {
    const Answered answer = ask_sql("SELECT * FROM broken");
    EXPECT_EQ(answer.headers, 1u);
    EXPECT_EQ(answer.rows.size(), GetParam() ? 0u : 2u);
    EXPECT_FALSE(report_.complete());
    ASSERT_EQ(report_.readings.size(), 2u);
    for (const TableReading& reading : report_.readings) EXPECT_TRUE(reading.failure);
}

TEST_P(PlainScans, CanBeInterrupted) {
    database_->interrupt();
    Answered answer;
    const auto report = database_->query("SELECT * FROM odd", {}, answer);
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code, Errc::cancelled);
    EXPECT_EQ(ask_sql("SELECT * FROM odd").rows.size(), 1200u);
}

// The database knows a number of statements by their text: a sink that had it forget the one that runs would pull it from under itself.
TEST_P(PlainScans, ASinkCannotAskItsOwnDatabase) {
    struct Asking final : ResultSink {
        void columns(std::span<const ResultColumn>) override {}
        bool row(std::span<const Value>) override {
            for (int i = 0; i < 100 && rows == 0; ++i) {
                Answered inner;
                const auto report = database->query(fmt::format("SELECT number AS x{} FROM odd", i), {}, inner);
                refused += !report && report.error().code == Errc::usage ? 1u : 0u;
            }
            ++rows;
            return true;
        }
        Database* database = nullptr;
        unsigned refused = 0, rows = 0;
    };
    for (const char* sql : {"SELECT text FROM odd", "SELECT a.text FROM odd a JOIN odd b ON b.number = a.place LIMIT 9",
                            "SELECT text FROM odd LIMIT -1"}) {
        Asking sink;
        sink.database = database_.get();
        const auto report = database_->query(sql, {}, sink);
        ASSERT_TRUE(report) << sql << ": " << report.error().to_string();
        EXPECT_EQ(sink.refused, sink.rows == 0 ? 0u : 100u) << sql;
        EXPECT_EQ(report->rows, sink.rows);
    }
}

TEST_P(PlainScans, ASinkThatThrowsLeavesTheDatabaseUsable) {
    struct Throwing final : ResultSink {
        void columns(std::span<const ResultColumn>) override {}
        bool row(std::span<const Value>) override { throw std::bad_alloc(); }
    };
    for (const char* sql : {"SELECT * FROM odd LIMIT -1", "SELECT number + 1 FROM odd"}) {
        Throwing sink;
        EXPECT_THROW(static_cast<void>(database_->query(sql, {}, sink)), std::bad_alloc);
        EXPECT_EQ(ask_sql("SELECT * FROM odd").rows.size(), 1200u);
    }
}

// A unary plus keeps SQLite from handing the pattern down.
TEST_P(PlainScans, PatternsGiveWhatAFilteredScanGives) {
    const auto check = [&](const std::string& column, const std::string& table, const std::string& condition) {
        const std::string shape = "SELECT * FROM " + table + " WHERE ";
        SCOPED_TRACE(shape + column + condition);
        EXPECT_EQ(ask_sql(shape + column + condition).rows, ask_sql(shape + "+" + column + condition).rows);
    };
    const auto patterns = std::to_array<std::string>(
        {" GLOB '*'", " GLOB 'k*'", " GLOB 'K*'", " GLOB '[a-k]*[0-9]'", " GLOB '?'", " GLOB ''", " GLOB 'init'",
         " LIKE 'K%'", " LIKE '_n%'", " LIKE '%'", " LIKE ''", " GLOB NULL", " GLOB 1", " LIKE 1.5", " LIKE x'25'",
         " LIKE 'k\\%' ESCAPE '\\'", " NOT GLOB 'k*'", " GLOB 'k*' COLLATE NOCASE", " GLOB 'a' || char(0) || '*'"});
    for (const std::string& pattern : patterns) {
        for (const auto& [table, column] : std::vector<std::pair<std::string, std::string>>{{"processes", "name"},
                                                                                            {"processes", "pid"},
                                                                                            {"processes", "vm"},
                                                                                            {"symbols", "name"},
                                                                                            {"odd", "text"}})
            check(column, table, pattern);
    }
    check("name", "processes", " GLOB 'k*' OR name GLOB 'i*'");
    check("name", "processes", " GLOB 'k*' AND name LIKE '%D%'");
    check("name", "processes", " GLOB 'k*' AND pid = 2");
    check("name", "processes", " GLOB 'k*' AND vm = 'two'");
    const std::string join =
        "SELECT count(*), count(b.pid) FROM processes a {} JOIN processes b ON {}b.name GLOB a.name || '*'";
    for (const char* kind : {"", "LEFT", "RIGHT", "FULL"})
        EXPECT_EQ(ask_sql(fmt::format(fmt::runtime(join), kind, "")).rows,
                  ask_sql(fmt::format(fmt::runtime(join), kind, "+")).rows);
    const std::string longest(1001, 'a');
    Answered none;
    EXPECT_FALSE(database_->query("SELECT * FROM processes WHERE name GLOB '" + longest + "'", {}, none));
}

INSTANTIATE_TEST_SUITE_P(Guests, PlainScans, ::testing::Bool(),
                         [](const auto& suite) { return suite.param ? "running" : "still"; });

std::string plan_of(Database& database, const std::string& sql) {
    Answered answer;
    EXPECT_TRUE(database.query("EXPLAIN QUERY PLAN " + sql, {}, answer));
    std::string all;
    for (const auto& row : answer.rows) all += std::get<std::string>(row.back()) + "\n";
    return all;
}

TEST(Plans, PatternsOfTextsAreHandedDown) {
    const SyntheticGuest made(description());
    auto guest = attach(made.machine());
    ASSERT_TRUE(guest);
    auto database = Database::open({{"one", **guest}});
    ASSERT_TRUE(database);
    const auto plan = [&](const std::string& condition) {
        return plan_of(**database, "SELECT * FROM symbols WHERE " + condition);
    };
    EXPECT_THAT(plan("name GLOB 'tcp_*'"), HasSubstr("name GLOB ?"));
    EXPECT_THAT(plan("name LIKE 'tcp%'"), HasSubstr("name LIKE ?"));
    EXPECT_THAT(plan("name GLOB 'tcp_*' AND vm = 'one'"), HasSubstr("name GLOB ? AND vm=?"));
    // A key finds less.
    EXPECT_THAT(plan("name GLOB 'tcp_*' AND address = 1"), HasSubstr("address=?"));
    EXPECT_THAT(plan("name GLOB 'tcp_*' AND module = 'x'"), HasSubstr("module=?"));
    EXPECT_THAT(plan("address GLOB '1*'"), Not(HasSubstr("?")));
    EXPECT_THAT(plan("+name GLOB 'tcp_*'"), Not(HasSubstr("?")));
}

class CountingStore final : public RamStore {
public:
    explicit CountingStore(std::shared_ptr<RamStore> of) : of_(std::move(of)) {}
    [[nodiscard]] std::uint64_t size() const override { return of_->size(); }
    [[nodiscard]] AccessMethod method() const override { return of_->method(); }
    Result<void> read(std::span<StoreReadOp> ops) override {
        operations += ops.size();
        return of_->read(ops);
    }
    std::size_t operations = 0;

private:
    std::shared_ptr<RamStore> of_;
};

// One process by its number costs the same reads, however many there are.
TEST(Plans, OneProcessIsReadWithoutTheOthers) {
    std::vector<std::size_t> reads;
    for (const unsigned tasks : {30u, 120u}) {
        const SyntheticGuest made(description(tasks));
        const auto store = std::make_shared<CountingStore>(made.store(false));
        auto guest = attach(made.machine_over(store));
        ASSERT_TRUE(guest);
        auto database = Database::open({{"one", **guest}});
        ASSERT_TRUE(database);
        std::size_t of_one = 0, of_all = 0;
        for (int times = 0; times < 2; ++times) {  // the first finds it
            Answered one, all;
            std::size_t before = store->operations;
            ASSERT_TRUE((*database)->query("SELECT name FROM processes WHERE pid = 1", {}, one));
            ASSERT_EQ(one.rows.size(), 1u);
            of_one = store->operations - before;
            before = store->operations;
            ASSERT_TRUE((*database)->query("SELECT name FROM processes", {}, all));
            of_all = store->operations - before;
            EXPECT_EQ(all.rows.size(), tasks - 1) << "the idle task is left out";
        }
        reads.push_back(of_one);
        EXPECT_LT(of_one, of_all);
    }
    EXPECT_EQ(reads[0], reads[1]);
}

using Columns = std::vector<std::size_t>;

// The table is one of SQLite's own: name, builtin, type, enc, narg, flags.
TEST(Programs, OnlyThoseThatHandOn) {
    sqlite3* opened = nullptr;
    ASSERT_EQ(sqlite3_open(":memory:", &opened), SQLITE_OK);
    const std::unique_ptr<sqlite3, decltype(&sqlite3_close)> database(opened, sqlite3_close);
    ASSERT_EQ(sqlite3_exec(opened, "CREATE TABLE own(a, b)", nullptr, nullptr, nullptr), SQLITE_OK);
    const auto columns = [&](const char* text) { return sql::columns_handed_on(opened, text); };
    for (const auto& [text, expected] : std::vector<std::pair<std::string, Columns>>{
             {"SELECT * FROM pragma_function_list", {0, 1, 2, 3, 4, 5}},
             {"select narg, name from pragma_function_list;", {4, 0}},
             {"SELECT p.type AS x FROM pragma_function_list AS p -- all", {2}}})
        EXPECT_EQ(columns(text.c_str()), expected) << text;
    for (const char* text : {"SELECT DISTINCT name FROM pragma_function_list",
                             "SELECT name || 'x' FROM pragma_function_list",
                             "SELECT name, 1 FROM pragma_function_list",
                             "SELECT 1 FROM pragma_function_list",
                             "SELECT 'from'",
                             "SELECT a.name FROM pragma_function_list a, pragma_function_list b",
                             "SELECT a, b FROM own",
                             "SELECT name FROM pragma_function_list LIMIT 3",
                             "SELECT name FROM pragma_function_list LIMIT 0",
                             "SELECT name FROM pragma_function_list ORDER BY 1",
                             "SELECT name FROM pragma_function_list WHERE narg = 1",
                             "SELECT name FROM pragma_function_list WHERE 0",
                             "SELECT count(*) FROM pragma_function_list",
                             "SELECT name FROM pragma_function_list UNION ALL SELECT name FROM pragma_function_list",
                             "SELECT -narg FROM pragma_function_list",
                             "EXPLAIN SELECT name FROM pragma_function_list",
                             "nonsense from",
                             "SELECT nothing FROM pragma_function_list",
                             "",
                             "from"})
        EXPECT_FALSE(columns(text)) << text;
}

}  // namespace
}  // namespace vitrine::test
