// Answers kept in memory, and their values by name and C++ type.
#include "vitrine/query/row_set.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "support/guest_test_support.h"
#include "vitrine/query/open_guest.h"

namespace vitrine::test {
namespace {

using ::testing::HasSubstr;

class RowSetTest : public ::testing::Test {
protected:
    void SetUp() override {
        auto attached = attach(made_.machine(made_.vcpus()));
        ASSERT_TRUE(attached) << attached.error().to_string();
        guest_ = std::move(*attached);
        auto opened = Database::open({{"one", *guest_}});
        ASSERT_TRUE(opened) << opened.error().to_string();
        database_ = std::move(*opened);
    }
    RowSet ask(std::string_view sql) {
        auto rows = database_->query(sql);
        if (!rows) throw std::runtime_error(rows.error().to_string());
        return std::move(*rows);
    }
    template <class T>
    Errc failure(std::string_view sql, std::string_view column) {
        const RowSet rows = ask(sql);
        const auto value = rows[0].get<T>(column);
        if (value) return ADD_FAILURE() << sql << " is a value", Errc::io;
        EXPECT_THAT(value.error().to_string(), HasSubstr(std::string(column)));
        return value.error().code;
    }

    SyntheticGuest made_{GuestDescription{}};
    std::unique_ptr<Guest> guest_;
    std::unique_ptr<Database> database_;
};

TEST_F(RowSetTest, EveryProcessOnce) {
    const RowSet rows = ask("SELECT pid, name, task FROM processes ORDER BY pid");
    EXPECT_TRUE(rows.complete());
    EXPECT_EQ(rows.report().rows, rows.size());
    std::vector<std::int32_t> pids;
    for (const Row row : rows) {
        const auto pid = row.get<std::int32_t>("pid");
        ASSERT_TRUE(pid);
        pids.push_back(*pid);
        const auto of = std::ranges::find_if(
            made_.tasks, [&](const SyntheticTask& task) { return task.pid == *pid && task.tgid == *pid; });
        ASSERT_NE(of, made_.tasks.end());
        EXPECT_EQ(row.get<Gva>("task").value(), of->address);
        EXPECT_FALSE(row.get<std::string>("name").value().empty());
    }
    EXPECT_EQ(pids.size(), rows.size());
    EXPECT_GE(pids.size(), 7u);
    EXPECT_EQ(std::ranges::adjacent_find(pids), pids.end());
}

TEST_F(RowSetTest, ValuesAsTheTypesThatHoldThem) {
    const RowSet rows = ask("SELECT 255 AS n, -1 AS m, 1.5 AS r, 'a' || char(0) AS t, 1 AS b, NULL AS missing");
    ASSERT_EQ(rows.size(), 1u);
    const Row row = rows[0];
    EXPECT_EQ(row.get<std::int64_t>("n").value(), 255);
    EXPECT_EQ(row.get<std::uint16_t>("n").value(), 255u);
    EXPECT_EQ(row.get<double>("n").value(), 255.0);
    EXPECT_EQ(row.get<double>("r").value(), 1.5);
    EXPECT_EQ(row.get<std::string_view>("t").value(), std::string_view("a\0", 2));
    EXPECT_EQ(row.get<std::string>("t").value(), std::string("a\0", 2));
    EXPECT_EQ(row.get<bool>("b").value(), true);
    EXPECT_EQ(row.get<Gva>("m").value(), Gva{UINT64_MAX});
    EXPECT_EQ(row.get<std::optional<int>>("n").value(), 255);
    EXPECT_EQ(row.get<std::optional<int>>("missing").value(), std::nullopt);
    EXPECT_EQ(row.get<std::optional<std::string>>("missing").value(), std::nullopt);
}

TEST_F(RowSetTest, NothingIsBentToFit) {
    EXPECT_EQ(failure<std::int16_t>("SELECT 32768 AS n", "n"), Errc::out_of_range);
    EXPECT_EQ(failure<std::uint64_t>("SELECT -1 AS n", "n"), Errc::out_of_range);
    EXPECT_EQ(failure<bool>("SELECT 2 AS n", "n"), Errc::out_of_range);
    EXPECT_EQ(failure<std::int64_t>("SELECT '1' AS n", "n"), Errc::usage);
    EXPECT_EQ(failure<std::int64_t>("SELECT 1.0 AS n", "n"), Errc::usage);
    EXPECT_EQ(failure<double>("SELECT 'x' AS n", "n"), Errc::usage);
    EXPECT_EQ(failure<std::string>("SELECT 1 AS n", "n"), Errc::usage);
    EXPECT_EQ(failure<Gva>("SELECT 'x' AS n", "n"), Errc::usage);
    EXPECT_EQ(failure<std::optional<int>>("SELECT 'x' AS n", "n"), Errc::usage);
    EXPECT_EQ(failure<std::int64_t>("SELECT NULL AS n", "n"), Errc::not_found);
    EXPECT_EQ(failure<std::string>("SELECT NULL AS n", "n"), Errc::not_found);
    EXPECT_EQ(failure<std::int64_t>("SELECT 1 AS n", "m"), Errc::not_found);
    EXPECT_EQ(failure<std::optional<int>>("SELECT 1 AS n", "N"), Errc::not_found);
    EXPECT_EQ(failure<std::int64_t>("SELECT 1 AS n, 2 AS n", "n"), Errc::ambiguous);
}

TEST_F(RowSetTest, RowsOutliveAMoveOfTheirSet) {
    RowSet rows = ask("SELECT 'a text that is longer than a short one' AS t");
    const Row row = rows[0];
    const auto text = row.get<std::string_view>("t");
    const RowSet moved = std::move(rows);
    EXPECT_EQ(text.value(), "a text that is longer than a short one");
    EXPECT_EQ(row.get<std::string_view>("t").value(), moved[0].get<std::string_view>("t").value());
}

TEST_F(RowSetTest, NoRowIsAnAnswer) {
    const RowSet rows = ask("SELECT pid FROM processes WHERE pid = -1");
    EXPECT_TRUE(rows.empty());
    EXPECT_TRUE(rows.begin() == rows.end());
    EXPECT_EQ(rows.columns().size(), 1u);
}

TEST_F(RowSetTest, ParametersAndLimits) {
    const std::vector<Value> parameters = {std::int64_t{1}};
    const auto one = database_->query("SELECT name FROM processes WHERE pid = ?1", parameters);
    ASSERT_TRUE(one) << one.error().to_string();
    EXPECT_EQ(one->size(), 1u);

    QueryLimits limits;
    limits.memory = 4u << 20;
    const std::string_view large =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT 'text ' || i FROM n";
    const auto refused = database_->query(large, {}, limits);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::limit);
    EXPECT_EQ(database_->query("SELECT nonsense").error().code, Errc::usage);
}

TEST(OpenGuest, SaysWhatIsWrongWithATarget) {
    EXPECT_EQ(open_guest("qemu:").error().code, Errc::usage);
    EXPECT_FALSE(open_guest("/nowhere/such-file"));
}

}  // namespace
}  // namespace vitrine::test
