// The SQL engine against the tables it stands on, and against what a hostile or careless statement may try.
#include "vitrine/query/database.h"

#include <array>
#include <chrono>
#include <thread>
#include <variant>

#include "support/guest_test_support.h"

namespace vitrine::test {
namespace {

GuestDescription description() {
    GuestDescription d;
    d.types.seed = 90;
    d.tasks = 40;
    return d;
}

struct Lines final : ResultSink {
    void columns(std::span<const ResultColumn> given) override { header.assign(given.begin(), given.end()); }
    bool row(std::span<const Value> values) override {
        rows.emplace_back(values.begin(), values.end());
        return rows.size() < most;
    }
    std::vector<ResultColumn> header;
    std::vector<std::vector<Value>> rows;
    std::size_t most = SIZE_MAX;
};

std::string text(const Value& value) {
    if (const auto* t = std::get_if<std::string>(&value)) return *t;
    if (const auto* n = std::get_if<std::int64_t>(&value)) return std::to_string(*n);
    if (const auto* a = std::get_if<AddressValue>(&value)) return "address " + std::to_string(a->value);
    if (const auto* r = std::get_if<double>(&value)) return "real " + std::to_string(*r);
    return "NULL";
}

// One table whose generator says how often it was asked, and for what.
struct Asked {
    unsigned whole = 0;
    std::vector<std::int64_t> keys;
    std::vector<std::uint64_t> used;
    WalkEnd end = WalkEnd::complete;
    unsigned torn = 0;  // so many first readings are torn
    std::optional<Error> failure;
};
Asked asked;

constexpr auto kCountedColumns = std::to_array<Column>({
    index({"id", ColumnType::integer, "number"}),
    {"name", ColumnType::text, "name"},
    {"place", ColumnType::address, "address"},
    {"half", ColumnType::real, "half of it"},
});

Result<WalkReport> generate_counted(Guest&, QueryContext& context, RowSink& sink) {
    std::uint64_t used = 0;
    for (std::size_t i = 0; i < kCountedColumns.size(); ++i) used |= std::uint64_t{context.uses(i)} << i;
    asked.used.push_back(used);
    if (asked.failure) return *asked.failure;
    WalkReport report;
    const auto key = context.wanted_integer(0);
    if (key) asked.keys.push_back(*key);
    else ++asked.whole;
    for (std::int64_t i = 0; i < 100; ++i) {
        if (key && i != *key) continue;
        const std::array<Value, 4> row = {
            i, "name " + std::to_string(i % 10),
            AddressValue{i % 2 == 0 ? 0xffff'8880'0000'0000 + static_cast<std::uint64_t>(i) : 0x1000},
            static_cast<double>(i) / 2};
        if (!sink.row(row)) return report;
    }
    report.nodes = 100;
    report.end = asked.end;
    if (asked.torn > 0) {
        --asked.torn;
        report.end = WalkEnd::inconsistent;
    }
    return report;
}

constexpr auto kCounted = std::to_array<Generator>({{"", generate_counted}});
const Table kCountedTable{{"counted", "", kCountedColumns, {}}, kCounted};

class Sql : public ::testing::Test {
protected:
    void SetUp() override {
        asked = {};
        add("one", false);
    }
    void add(const std::string& name, bool live) {
        auto machine = made_.machine(made_.vcpus());
        machine->live = live;
        auto guest = attach(std::move(machine));
        ASSERT_TRUE(guest);
        guests_.push_back(std::move(*guest));
        names_.push_back(name);
        database_.reset();
    }
    Database& database() {
        if (database_) return *database_;
        std::vector<NamedGuest> named;
        for (std::size_t i = 0; i < guests_.size(); ++i) named.push_back({names_[i], *guests_[i]});
        tables_.assign(all_tables().begin(), all_tables().end());
        tables_.push_back(&kCountedTable);
        auto opened = Database::open(std::move(named), tables_);
        EXPECT_TRUE(opened);
        database_ = std::move(*opened);
        return *database_;
    }
    Result<QueryReport> ask_sql(std::string_view sql, QueryLimits limits = {}) {
        lines_ = {};
        return database().query(sql, limits, lines_);
    }
    // Rows as text: "1|init;2|kthreadd".
    std::string rows(std::string_view sql) {
        const auto report = ask_sql(sql);
        if (!report) return "error: " + report.error().to_string();
        std::string all;
        for (const auto& row : lines_.rows) {
            std::string line;
            for (const Value& value : row) line += (line.empty() ? "" : "|") + text(value);
            all += (all.empty() ? "" : ";") + line;
        }
        return all;
    }

    SyntheticGuest made_{description()};
    std::vector<std::unique_ptr<Guest>> guests_;
    std::vector<std::string> names_;
    std::vector<const Table*> tables_;
    std::unique_ptr<Database> database_;
    Lines lines_;
};

TEST_F(Sql, EveryTableGivesTheRowsOfItsGenerator) {
    for (const Table* table : all_tables()) {
        SCOPED_TRACE(std::string(table->spec.name));
        const Answer plain = ask(*guests_[0], table->spec.name);
        const auto report = ask_sql("SELECT * FROM " + std::string(table->spec.name));
        ASSERT_TRUE(report) << report.error().to_string();
        EXPECT_EQ(report->readings.size(), 1u);
        if (!plain.report) {
            EXPECT_TRUE(report->readings[0].failure);
            EXPECT_FALSE(report->complete());
            continue;
        }
        EXPECT_EQ(lines_.rows, plain.rows.rows);
        ASSERT_EQ(lines_.header.size(), table->spec.columns.size());
        for (std::size_t i = 0; i < lines_.header.size(); ++i) {
            EXPECT_EQ(lines_.header[i].name, table->spec.columns[i].name);
            EXPECT_EQ(lines_.header[i].type, table->spec.columns[i].type);
            EXPECT_EQ(lines_.header[i].unit, table->spec.columns[i].unit);
        }
    }
}

// Whether invariants hold is asked of real kernels: a made-up one lacks much.
TEST_F(Sql, EveryQueryOfTheSpecificationsRuns) {
    for (const Table* table : all_tables()) {
        for (const std::string_view query : table->spec.queries) {
            const auto report = ask_sql(query);
            EXPECT_TRUE(report) << query << ": " << report.error().to_string();
        }
        for (const Invariant& invariant : table->spec.invariants) {
            const auto report = ask_sql(invariant.sql);
            ASSERT_TRUE(report) << invariant.sql << ": " << report.error().to_string();
        }
    }
}

TEST_F(Sql, OnlyColumnsThatAreUsedAreMade) {
    EXPECT_EQ(rows("SELECT count(*) FROM counted"), "100");
    EXPECT_EQ(rows("SELECT name FROM counted WHERE half = 1"), "name 2");
    EXPECT_EQ(rows("SELECT a.id FROM counted a JOIN counted b ON a.name = b.name WHERE b.place = 1 LIMIT 1"), "");
    EXPECT_EQ(asked.used, (std::vector<std::uint64_t>{0, 0b1010, 0b0111}));
}

TEST_F(Sql, AKeyIsHandedDown) {
    EXPECT_EQ(rows("SELECT name FROM counted WHERE id = 7"), "name 7");
    EXPECT_EQ(asked.whole, 0u);
    EXPECT_EQ(asked.keys, (std::vector<std::int64_t>{7}));
    asked = {};
    EXPECT_EQ(rows("SELECT id FROM counted WHERE id IN (3, 5)"), "3;5");
    EXPECT_EQ(asked.whole, 0u);
    asked = {};
    // SQLite compares by the column's affinity.
    EXPECT_EQ(rows("SELECT id FROM counted WHERE id = '8'"), "8");
    EXPECT_EQ(rows("SELECT id FROM counted WHERE id = 8.0"), "8");
    EXPECT_EQ(rows("SELECT id FROM counted WHERE id = 8.5"), "");
    EXPECT_EQ(rows("SELECT id FROM counted WHERE id = 'x'"), "");
    EXPECT_EQ(rows("SELECT id FROM counted WHERE id = NULL"), "");
    EXPECT_EQ(rows("SELECT id FROM counted WHERE id = x'38'"), "");
    EXPECT_EQ(rows("SELECT id FROM counted WHERE id = 1e300"), "");
    EXPECT_EQ(rows("SELECT count(*) FROM counted WHERE name = 'name 3'"), "10");
    EXPECT_EQ(rows("SELECT count(*) FROM counted WHERE name = 'NAME 3' COLLATE NOCASE"), "10");
}

TEST_F(Sql, AJoinReadsATableOnce) {
    EXPECT_EQ(rows("SELECT count(*) FROM counted a JOIN counted b ON a.id = b.id"), "100");
    EXPECT_EQ(asked.whole, 1u);
    EXPECT_TRUE(asked.keys.empty());
    asked = {};
    // Of a column that is no index too.
    EXPECT_EQ(rows("SELECT count(*) FROM counted a JOIN counted b ON a.name = b.name"), "1000");
    EXPECT_EQ(asked.whole, 1u);
    asked = {};
    // A few keys are looked up; more of them, and the table is read as a whole.
    EXPECT_EQ(rows("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) "
                   "SELECT sum(c.half) FROM n CROSS JOIN counted c ON c.id = n.i"),
              "real 637.500000");
    EXPECT_EQ(asked.keys.size(), 4u);
    EXPECT_EQ(asked.whole, 1u);
}

TEST_F(Sql, PlansSayWhatIsHandedDown) {
    const auto plan = [&](const std::string& sql) {
        std::string all;
        EXPECT_TRUE(ask_sql("EXPLAIN QUERY PLAN " + sql));
        for (const auto& row : lines_.rows) all += text(row.back()) + "\n";
        return all;
    };
    EXPECT_NE(plan("SELECT * FROM processes WHERE pid = 1").find("pid=?"), std::string::npos);
    EXPECT_NE(plan("SELECT * FROM processes WHERE pid = 1 AND vm = 'one'").find("pid=? AND vm=?"), std::string::npos);
    EXPECT_NE(plan("SELECT * FROM counted a JOIN counted b USING (id)").find("id=?"), std::string::npos);
    EXPECT_EQ(plan("SELECT * FROM processes WHERE name LIKE 'k%'").find("=?"), std::string::npos);
    EXPECT_EQ(asked.whole, 0u);
}

TEST_F(Sql, OneProcessIsThatOfTheWholeTable) {
    const auto all = ask_sql("SELECT pid, name, task FROM processes");
    ASSERT_TRUE(all);
    const auto every = lines_.rows;
    ASSERT_GT(every.size(), 30u);
    for (int round = 0; round < 2; ++round) {
        for (const auto& row : every) {
            ASSERT_TRUE(ask_sql("SELECT pid, name, task FROM processes WHERE pid = " + text(row[0])));
            ASSERT_EQ(lines_.rows.size(), 1u);
            EXPECT_EQ(lines_.rows[0], row);
        }
    }
    EXPECT_EQ(rows("SELECT pid FROM processes WHERE pid = 99999"), "");
    EXPECT_EQ(rows("SELECT pid FROM processes WHERE pid = 4294967297"), "");
    EXPECT_EQ(rows("SELECT pid FROM processes WHERE pid = -1"), "");
}

// A unary plus keeps SQLite from asking the table: what it then finds itself is what must be found.
TEST_F(Sql, RowsReachedInSeveralWaysAreToldApart) {
    add("two", false);
    const std::vector<std::pair<std::string, std::string>> pairs = {
        {"SELECT count(*) FROM processes WHERE pid = 1 OR name = 'kthreadd'",
         "SELECT count(*) FROM processes WHERE +pid = 1 OR +name = 'kthreadd'"},
        {"SELECT count(*) FROM processes WHERE pid = 2 OR parent = 2 OR name = 'init'",
         "SELECT count(*) FROM processes WHERE +pid = 2 OR +parent = 2 OR +name = 'init'"},
        {"SELECT count(*) FROM counted WHERE id = 7 OR name = 'name 7'",
         "SELECT count(*) FROM counted WHERE +id = 7 OR +name = 'name 7'"},
        {"SELECT count(*) FROM counted WHERE (id = 7 AND vm = 'one') OR (name = 'name 7' AND vm = 'two')",
         "SELECT count(*) FROM counted WHERE (+id = 7 AND +vm = 'one') OR (+name = 'name 7' AND +vm = 'two')"},
        {"SELECT 1 UNION ALL SELECT count(*) FROM counted WHERE id = 3 OR name = 'name 3'",
         "SELECT 1 UNION ALL SELECT count(*) FROM counted WHERE +id = 3 OR +name = 'name 3'"},
        {"SELECT count(*), count(a.id), count(b.id) FROM counted a FULL JOIN counted b ON a.id = b.id + 50",
         "SELECT 400, 300, 300"},
        {"SELECT count(*), count(a.id), count(b.id) FROM counted a RIGHT JOIN counted b ON a.id = b.id AND a.vm = b.vm",
         "SELECT 200, 200, 200"},
        {"SELECT count(*), count(DISTINCT rowid) FROM counted", "SELECT 200, 200"},
    };
    for (const auto& [asked_table, found_itself] : pairs)
        EXPECT_EQ(rows(asked_table), rows(found_itself)) << asked_table;
}

// Which comparison a text column is in depends on both sides.
TEST_F(Sql, ATextIsComparedAsSqliteHasIt) {
    for (const std::string value : {"7", "'7'", "7.0", "CAST(7 AS INTEGER)", "CAST('7' AS TEXT)", "x'37'", "NULL"}) {
        const std::string same = "substr(name, 6) = " + value;
        const std::string sub = "(SELECT substr(name, 6) AS t, id FROM counted)";
        EXPECT_EQ(rows("SELECT count(*) FROM " + sub + " WHERE t = " + value),
                  rows("SELECT count(*) FROM " + sub + " WHERE +t = " + value))
            << same;
        EXPECT_EQ(rows("SELECT count(*) FROM processes WHERE namespace_pids = " + value),
                  rows("SELECT count(*) FROM (SELECT namespace_pids AS t FROM processes LIMIT -1) WHERE t = " + value))
            << value;
    }
    EXPECT_EQ(rows("SELECT count(*) FROM processes p JOIN counted c ON p.namespace_pids = c.id"),
              rows("SELECT count(*) FROM processes p JOIN counted c ON p.namespace_pids = +c.id + 0"));
}

TEST_F(Sql, WhatIsMisspeltIsAnError) {
    EXPECT_NE(rows("SELECT count(*) FROM counted WHERE \"idd\" = 0").find("error"), std::string::npos);
    EXPECT_NE(rows("SELECT \"nmae\" FROM counted").find("error"), std::string::npos);
    EXPECT_NE(rows(std::string_view("SELECT 1\0, 2 FROM nowhere", 26)).find("NUL"), std::string::npos);
    EXPECT_EQ(rows("SELECT sum(value) FROM json_each('[1,2]')"), "3");
    EXPECT_NE(rows("SELECT fts3_tokenizer('simple')").find("error"), std::string::npos);
}

// A step of SQLite's cannot be stopped: none may take long.
TEST_F(Sql, NoSingleStepIsEndless) {
    QueryLimits limits;
    limits.time = std::chrono::milliseconds(500);
    EXPECT_FALSE(ask_sql("SELECT instr(zeroblob(8000000), CAST(zeroblob(400000) || x'01' AS BLOB))", limits));
}

TEST(SqlWithoutGuests, AnswersWhatColumnsThereAre) {
    const auto database = Database::open({});
    ASSERT_TRUE(database);
    Lines lines;
    ASSERT_TRUE(
        (*database)->query("WITH k AS MATERIALIZED (SELECT sym(i) AS s FROM (SELECT 1 AS i UNION SELECT 2)) "
                           "SELECT k.s, l.s AS t FROM k, k AS l",
                           {}, lines));
    EXPECT_EQ(lines.header.size(), 2u);
}

TEST_F(Sql, SeveralGuestsAreOneDatabase) {
    add("two", true);
    EXPECT_EQ(rows("SELECT DISTINCT vm FROM processes ORDER BY vm"), "one;two");
    EXPECT_EQ(rows("SELECT count(*) = 2 * (SELECT count(*) FROM processes WHERE vm = 'one') FROM processes"), "1");
    EXPECT_EQ(rows("SELECT count(*) FROM processes WHERE vm = 'three'"), "0");
    EXPECT_EQ(rows("SELECT count(*) > 30 FROM processes a JOIN processes b ON a.pid = b.pid AND a.name = b.name "
                   "WHERE a.vm = 'one' AND b.vm = 'two'"),
              "1");
    ASSERT_TRUE(ask_sql("SELECT * FROM processes LIMIT 1"));
    for (const ResultColumn& column : lines_.header) EXPECT_NE(column.name, "vm");
    const auto report = ask_sql("SELECT vm, count(*) FROM counted GROUP BY vm");
    ASSERT_TRUE(report);
    EXPECT_EQ(report->readings.size(), 2u);
    auto same = Database::open({{"x", *guests_[0]}, {"x", *guests_[1]}});
    EXPECT_FALSE(same);
}

TEST_F(Sql, AddressesAreAddresses) {
    ASSERT_TRUE(ask_sql("SELECT place, place AS p FROM (SELECT place FROM counted WHERE id = 2)"));
    EXPECT_EQ(lines_.header[1].type, ColumnType::address);
    EXPECT_EQ(lines_.rows[0][1], Value(AddressValue{0xffff'8880'0000'0002}));
    EXPECT_EQ(rows("SELECT id FROM counted WHERE place = 0xffff888000000004"), "4");
    EXPECT_EQ(rows("SELECT id FROM counted WHERE place = addr('0xffff888000000004')"), "4");
    EXPECT_EQ(rows("SELECT addr(place) FROM counted WHERE id = 4"), "0xffff888000000004");
    EXPECT_EQ(rows("SELECT addr('0x10'), addr('10'), addr('0xzz'), addr(NULL), addr(1.5), addr('0x1ffffffffffffffff')"),
              "16|NULL|NULL|NULL|NULL|NULL");
    // Signed, a kernel address is less than a user's.
    EXPECT_EQ(rows("SELECT 0xffff888000000000 < 0x1000, addr_lt(0xffff888000000000, 0x1000), addr_lt(1, 2)"), "1|0|1");
    EXPECT_EQ(rows("SELECT addr_lt('0x10', '0x20'), addr_lt(NULL, 1), addr_lt(2, 2)"), "1|NULL|0");
    EXPECT_EQ(rows("SELECT hex('a')"), "61");
}

TEST_F(Sql, SymbolsHaveNames) {
    EXPECT_EQ(rows("SELECT sym(address) FROM symbols WHERE name = 'init_task'"), "init_task");
    EXPECT_EQ(rows("SELECT sym(address + 4) FROM symbols WHERE name = 'init_task'"), "init_task+0x4");
    EXPECT_EQ(rows("SELECT sym(4096), sym(NULL), sym('x')"), "NULL|NULL|NULL");
    EXPECT_EQ(rows("SELECT sym(address, 'one') FROM symbols WHERE name = 'init_task'"), "init_task");
    add("two", false);
    EXPECT_NE(rows("SELECT sym(1)").find("which"), std::string::npos);
    EXPECT_EQ(rows("SELECT sym(address, 'two') FROM symbols WHERE name = 'init_task' AND vm = 'one'"), "init_task");
}

TEST_F(Sql, NothingCanBeChanged) {
    const std::vector<std::string> statements = {
        "CREATE TABLE t(a)",
        "CREATE TEMP TABLE t(a)",
        "CREATE VIRTUAL TABLE t USING processes",
        "CREATE TEMP VIEW v AS SELECT 1",
        "INSERT INTO processes(pid) VALUES (1)",
        "UPDATE processes SET pid = 1",
        "DELETE FROM processes",
        "DROP TABLE processes",
        "ATTACH DATABASE '/tmp/vitrine-attached.db' AS a",
        "DETACH DATABASE main",
        "PRAGMA writable_schema = 1",
        "PRAGMA temp_store_directory = '/tmp'",
        "SELECT * FROM pragma_database_list",
        "VACUUM INTO '/tmp/vitrine-vacuum.db'",
        "BEGIN",
        "SAVEPOINT a",
        "REINDEX",
        "ANALYZE",
        "SELECT load_extension('/tmp/x.so')",
        "SELECT writefile('/tmp/x', 'y')",
        "SELECT readfile('/etc/passwd')",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE processes",
        "",
        "-- nothing",
        "SELECT",
        "SELECT nothing FROM processes",
        "SELECT * FROM nothing",
    };
    for (const std::string& sql : statements) {
        const auto report = ask_sql(sql);
        ASSERT_FALSE(report) << sql;
        EXPECT_EQ(report.error().code, Errc::usage) << sql << ": " << report.error().to_string();
        EXPECT_TRUE(lines_.rows.empty()) << sql;
    }
    EXPECT_EQ(rows("SELECT 1 ; -- and no more"), "1");
    EXPECT_EQ(access("/tmp/vitrine-attached.db", F_OK), -1);
    EXPECT_EQ(access("/tmp/vitrine-vacuum.db", F_OK), -1);
}

TEST_F(Sql, RunawayQueriesEnd) {
    const std::string endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) ";
    QueryLimits limits;
    limits.time = std::chrono::milliseconds(200);
    auto report = ask_sql(endless + "SELECT count(*) FROM c", limits);
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code, Errc::limit);
    EXPECT_NE(report.error().to_string().find("200 ms"), std::string::npos);

    limits = {};
    limits.rows = 10;
    report = ask_sql(endless + "SELECT x FROM c", limits);
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code, Errc::limit);
    EXPECT_EQ(lines_.rows.size(), 10u);

    limits = {};
    limits.memory = 8u << 20;
    report = ask_sql(endless + "SELECT count(*) FROM (SELECT DISTINCT x, hex(zeroblob(100)) FROM c)", limits);
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code, Errc::limit) << report.error().to_string();

    limits.memory = 4u << 10;
    report = ask_sql("SELECT name, place FROM counted WHERE half >= 0", limits);
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code, Errc::limit) << report.error().to_string();
    EXPECT_EQ(ask_sql("SELECT length(zeroblob(1000000000))").error().code, Errc::limit);
    EXPECT_EQ(rows("SELECT 1"), "1");
}

TEST_F(Sql, CanBeInterrupted) {
    Database& asked_database = database();
    std::thread other([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        asked_database.interrupt();
    });
    const auto report = ask_sql(
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c");
    other.join();
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code, Errc::cancelled);
    EXPECT_EQ(rows("SELECT 1"), "1");
}

TEST_F(Sql, TheCallerMayStop) {
    lines_.most = 3;
    const auto report = database().query("SELECT id FROM counted", {}, lines_);
    ASSERT_TRUE(report);
    EXPECT_TRUE(report->stopped);
    EXPECT_EQ(lines_.rows.size(), 3u);
}

TEST_F(Sql, ValuesOfParameters) {
    const std::array<Value, 2> values = {std::int64_t{5}, std::string("name 5")};
    const auto report = database().query("SELECT id FROM counted WHERE id = ?1 AND name = ?2", values, {}, lines_);
    ASSERT_TRUE(report);
    EXPECT_EQ(lines_.rows.size(), 1u);
    EXPECT_FALSE(database().query("SELECT ?3", values, {}, lines_));
}

TEST_F(Sql, WhatCouldNotBeReadIsARow) {
    const auto report = ask_sql("SELECT * FROM vcpus, counted");
    ASSERT_TRUE(report);
    asked.failure = Error::with_text(Errc::not_found, Origin::types, "this kernel lacks counters");
    const auto failed = ask_sql("SELECT * FROM counted");
    ASSERT_TRUE(failed);
    EXPECT_FALSE(failed->complete());
    EXPECT_TRUE(lines_.rows.empty());
    EXPECT_EQ(rows("SELECT table_name, severity, reason FROM vitrine_diagnostics"),
              "counted|error|this kernel lacks counters");
    // Asking leaves it as it is.
    EXPECT_EQ(rows("SELECT count(*), min(vm) FROM vitrine_diagnostics"), "1|one");
    EXPECT_FALSE(ask_sql("SELECT no_such FROM counted"));
    EXPECT_NE(rows("SELECT reason FROM vitrine_diagnostics").find("no_such"), std::string::npos);
    asked.failure.reset();
    EXPECT_TRUE(ask_sql("SELECT count(*) FROM counted")->complete());
    EXPECT_EQ(rows("SELECT count(*) FROM vitrine_diagnostics"), "0");
    asked.end = WalkEnd::budget;
    EXPECT_FALSE(ask_sql("SELECT count(*) FROM counted")->complete());
}

TEST_F(Sql, TornWalksOfARunningGuestAreBegunAnew) {
    guests_.clear();
    names_.clear();
    add("live", true);
    asked.torn = 2;
    auto report = ask_sql("SELECT count(*) FROM counted");
    ASSERT_TRUE(report);
    EXPECT_TRUE(report->complete());
    EXPECT_EQ(report->readings[0].walk.retries, 2u);
    EXPECT_EQ(rows("SELECT count(*) FROM counted"), "100");
    asked.torn = 100;
    report = ask_sql("SELECT count(*) FROM counted");
    ASSERT_TRUE(report);
    EXPECT_FALSE(report->complete());
    EXPECT_EQ(report->readings[0].walk.end, WalkEnd::inconsistent);
}

TEST_F(Sql, TablesOfARunningGuestAreOfDifferentMoments) {
    guests_.clear();
    names_.clear();
    add("live", true);
    EXPECT_TRUE(ask_sql("SELECT count(*) FROM counted")->one_moment);
    EXPECT_FALSE(ask_sql("SELECT count(*) FROM counted, processes")->one_moment);
    database().set_paused(true);
    EXPECT_TRUE(ask_sql("SELECT count(*) FROM counted, processes")->one_moment);
}

TEST(SqlText, KnowsWhenAStatementIsComplete) {
    EXPECT_TRUE(is_complete_statement("SELECT 1;"));
    EXPECT_FALSE(is_complete_statement("SELECT 1"));
    EXPECT_FALSE(is_complete_statement("SELECT ';"));
    EXPECT_FALSE(is_complete_statement("SELECT 1 /* ; "));
}

}  // namespace
}  // namespace vitrine::test
