// Every table: its description, and that its rows are as it describes them.
#include <array>
#include <chrono>
#include <set>
#include <variant>

#include "support/guest_test_support.h"

namespace vitrine::test {
namespace {

GuestDescription description() {
    GuestDescription d;
    d.types.seed = 90;
    return d;
}

bool fits(ColumnType type, const Value& value) {
    if (std::holds_alternative<std::monostate>(value)) return true;
    switch (type) {
        case ColumnType::integer:
        case ColumnType::boolean: return std::holds_alternative<std::int64_t>(value);
        case ColumnType::address: return std::holds_alternative<AddressValue>(value);
        case ColumnType::real: return std::holds_alternative<double>(value);
        case ColumnType::text: return std::holds_alternative<std::string>(value);
    }
    return false;
}

TEST(Tables, AreDescribed) {
    std::set<std::string_view> names;
    for (const Table* table : all_tables()) {
        SCOPED_TRACE(std::string(table->spec.name));
        EXPECT_TRUE(names.insert(table->spec.name).second);
        EXPECT_EQ(find_table(table->spec.name), table);
        EXPECT_FALSE(table->spec.summary.empty());
        EXPECT_FALSE(table->spec.columns.empty());
        EXPECT_FALSE(table->spec.examples.empty());
        EXPECT_NE(table->generator_for("linux"), nullptr);
        std::set<std::string_view> columns;
        for (const Column& column : table->spec.columns) {
            EXPECT_TRUE(columns.insert(column.name).second) << column.name;
            EXPECT_FALSE(column.doc.empty()) << column.name;
        }
    }
    EXPECT_GE(names.size(), 7u);
    EXPECT_EQ(find_table("no_such_table"), nullptr);
}

TEST(Tables, RowsHaveTheColumnsOfTheDescription) {
    const SyntheticGuest made(description());
    auto guest = attach(made.machine(made.vcpus()));
    ASSERT_TRUE(guest);
    for (const Table* table : all_tables()) {
        SCOPED_TRACE(std::string(table->spec.name));
        const Answer answer = ask(**guest, table->spec.name);
        if (!answer.report) {
            EXPECT_FALSE(answer.report.error().to_string().empty());
            EXPECT_TRUE(answer.rows.rows.empty());
            continue;
        }
        EXPECT_FALSE(answer.rows.widths_differ);
        // Nothing was asked before.
        EXPECT_EQ(answer.rows.rows.empty(), table->spec.name == "vitrine_diagnostics");
        for (const auto& row : answer.rows.rows) {
            for (std::size_t i = 0; i < row.size(); ++i)
                EXPECT_TRUE(fits(table->spec.columns[i].type, row[i])) << table->spec.columns[i].name;
        }
    }
}

TEST(Tables, ColumnsNotAskedForMayBeLeftOutAndOthersStay) {
    const SyntheticGuest made(description());
    auto guest = attach(made.machine());
    ASSERT_TRUE(guest);
    const Table& table = *find_table("processes");
    const Answer all = ask(**guest, "processes");
    for (std::size_t i = 0; i < table.spec.columns.size(); ++i) {
        QueryContext context(std::uint64_t{1} << i);
        Rows rows(table);
        ASSERT_TRUE(run_table(table, **guest, context, rows));
        ASSERT_EQ(rows.rows.size(), all.rows.rows.size());
        for (std::size_t r = 0; r < rows.rows.size(); ++r)
            EXPECT_EQ(rows.rows[r][i], all.rows.rows[r][i]) << table.spec.columns[i].name;
    }
}

// Takes some rows and wants no more.
struct Impatient final : RowSink {
    explicit Impatient(std::size_t n) : most(n) {}
    bool row(std::span<const Value>) override { return ++rows < most; }
    void diagnostic(Diagnostic) override {}
    std::size_t most;
    std::size_t rows = 0;
};

TEST(Tables, StopWhenToldTo) {
    const SyntheticGuest made(description());
    for (const bool live : {false, true}) {
        auto machine = made.machine(made.vcpus());
        machine->live = live;
        auto guest = attach(std::move(machine));
        ASSERT_TRUE(guest);
        for (const std::string_view name : {"processes", "process_threads", "kernel_modules", "symbols", "types"}) {
            QueryContext context;
            Impatient sink(2);
            const auto report = run_table(*find_table(name), **guest, context, sink);
            ASSERT_TRUE(report) << name;
            EXPECT_EQ(sink.rows, 2u) << name;
            EXPECT_EQ(report->end, WalkEnd::stopped) << name;
        }
    }
}

TEST(Tables, BudgetsAreKept) {
    GuestDescription d = description();
    d.tasks = 40;
    d.modules = 12;
    const SyntheticGuest made(d);
    auto guest = attach(made.machine());
    ASSERT_TRUE(guest);
    for (const std::string_view name : {"processes", "process_threads", "kernel_modules"}) {
        const Answer answer = ask(**guest, name, {5, std::chrono::milliseconds(1000)});
        ASSERT_TRUE(answer.report) << name;
        EXPECT_EQ(answer.report->end, WalkEnd::budget) << name;
        EXPECT_LE(answer.rows.rows.size(), 5u) << name;
        EXPECT_GE(answer.rows.rows.size(), 1u) << name;
    }
}

TEST(Tables, NoRegistersIsSaid) {
    const SyntheticGuest made(description());
    auto guest = attach(made.machine());
    ASSERT_TRUE(guest);
    const Answer answer = ask(**guest, "vcpus");
    ASSERT_FALSE(answer.report);
    EXPECT_EQ(answer.report.error().code, Errc::unsupported);
}

TEST(Tables, MemoryThatCannotBeReachedIsSaid) {
    const SyntheticGuest made(description());
    for (const bool live : {false, true}) {
        auto machine = made.machine(made.vcpus());
        machine->live = live;
        machine->set_uncovered("256 MiB are missing");
        auto guest = attach(std::move(machine));
        ASSERT_TRUE(guest);
        const Answer answer = ask(**guest, "processes");
        ASSERT_TRUE(answer.report);
        EXPECT_NE(answer.rows.all_diagnostics().find("256 MiB are missing"), std::string::npos);
    }
}

// More rows than are held back: given out as they come, and all of them.
TEST(Tables, ManyRowsOfARunningGuestAreAllGivenOut) {
    const SyntheticGuest made(description());
    auto machine = made.machine(made.vcpus());
    machine->live = true;
    auto guest = attach(std::move(machine));
    ASSERT_TRUE(guest);
    constexpr auto kMany = std::to_array<Generator>({{"", [](Guest&, QueryContext&, RowSink& to) -> Result<WalkReport> {
                                                          WalkReport report;
                                                          const std::array<Value, 6> row{};
                                                          for (int i = 0; i < 70'000; ++i) {
                                                              if (!to.row(row)) report.end = WalkEnd::stopped;
                                                          }
                                                          return report;
                                                      }}});
    const Table many{{"many", "", find_table("types")->spec.columns, {}}, kMany};
    QueryContext context;
    Impatient sink(1'000'000);
    ASSERT_TRUE(run_table(many, **guest, context, sink));
    EXPECT_EQ(sink.rows, 70'000u);
}

}  // namespace
}  // namespace vitrine::test
