// An index column gives exactly the rows that reading all and dropping the others gives; and the tables whose rows come from user memory.
#include <variant>

#include "support/guest_test_support.h"

namespace vitrine::test {
namespace {

GuestDescription description() {
    GuestDescription d;
    d.types.seed = 91;
    d.kallsyms = "A";
    d.absolute_percpu = true;
    return d;
}

bool is_null(const Value& value) { return std::holds_alternative<std::monostate>(value); }

// `times` asks more than once: the second answer may come from what the first one left behind.
void check_index(Guest& guest, const Table& table, std::size_t column, const Value& value,
                 const std::vector<std::vector<Value>>& all) {
    std::vector<std::vector<Value>> expected;
    for (const auto& row : all) {
        if (row[column] == value) expected.push_back(row);
    }
    for (int times = 0; times < 2; ++times) {
        QueryContext context;
        context.must_equal(column, value);
        Rows rows(table);
        const auto report = run_table(table, guest, context, rows);
        ASSERT_TRUE(report) << report.error().to_string();
        EXPECT_EQ(report->end, WalkEnd::complete);
        std::erase_if(rows.rows, [&](const auto& row) { return row[column] != value; });
        EXPECT_EQ(rows.rows, expected) << table.spec.columns[column].name;
    }
}

std::vector<Value> absent_values(ColumnType type) {
    std::vector<Value> values;
    switch (type) {
        case ColumnType::address: values.emplace_back(AddressValue{0x1234'5678'9abc}); break;
        case ColumnType::text:
            for (const char* text : {"", "nothing", "struct list_head"}) values.emplace_back(std::string(text));
            break;
        default:
            for (const std::int64_t number : {-1l, 999'999'999l, 1l << 40}) values.emplace_back(number);
            break;
    }
    return values;
}

TEST(Indexes, GiveWhatAFilteredScanGives) {
    const SyntheticGuest made(description());
    auto guest = attach(made.machine());
    ASSERT_TRUE(guest);
    std::size_t checked = 0;
    for (const Table* table : all_tables()) {
        SCOPED_TRACE(std::string(table->spec.name));
        const Answer all = ask(**guest, table->spec.name);
        if (!all.report) continue;
        for (std::size_t column = 0; column < table->spec.columns.size(); ++column) {
            if (table->spec.columns[column].role != ColumnRole::index) continue;
            ++checked;
            std::vector<Value> values;
            for (const auto& row : all.rows.rows) {
                if (!is_null(row[column])) values.push_back(row[column]);
            }
            // Each seventh, and what is not there.
            for (std::size_t i = 0; i < values.size(); i += 7)
                check_index(**guest, *table, column, values[i], all.rows.rows);
            for (const Value& absent : absent_values(table->spec.columns[column].type))
                check_index(**guest, *table, column, absent, all.rows.rows);
        }
    }
    EXPECT_GE(checked, 10u);
}

TEST(Indexes, ATypeByNameDoesNotReadAll) {
    const SyntheticGuest made(description());
    auto guest = attach(made.machine());
    ASSERT_TRUE(guest);
    struct Counting final : RowSink {
        bool row(std::span<const Value>) override { return ++rows != 0; }
        void diagnostic(Diagnostic) override {}
        std::size_t rows = 0;
    };
    const std::size_t all = ask(**guest, "type_members").rows.rows.size();
    QueryContext context;
    context.must_equal(0, std::string("task_struct"));
    Counting sink;
    ASSERT_TRUE(run_table(*find_table("type_members"), **guest, context, sink));
    EXPECT_GT(sink.rows, 20u);
    EXPECT_LT(sink.rows, all / 2);
}

TEST(Environment, VariablesAsTheyAre) {
    const SyntheticGuest made(description());
    auto guest = attach(made.machine());
    ASSERT_TRUE(guest);
    const Answer answer = ask(**guest, "process_envs");
    ASSERT_TRUE(answer.report);
    std::size_t users = 0;
    for (const SyntheticTask& task : made.tasks) users += task.mm.is_null() ? 0u : 1u;
    ASSERT_EQ(answer.rows.rows.size(), users * 4);
    const std::int64_t pid = answer.rows.integer(0, "pid");
    EXPECT_EQ(answer.rows.text(0, "key"), "HOME");
    EXPECT_EQ(answer.rows.text(0, "value"), "/home/user" + std::to_string(pid));
    EXPECT_EQ(answer.rows.text(1, "key"), "EMPTY");
    EXPECT_EQ(answer.rows.text(1, "value"), "");
    EXPECT_EQ(answer.rows.text(2, "key"), "A");
    EXPECT_EQ(answer.rows.text(2, "value"), "B=C");
    EXPECT_EQ(answer.rows.text(3, "key"), "no equals sign");
    EXPECT_TRUE(is_null(answer.rows.at(3, "value")));
}

TEST(Environment, AForgedEndIsBounded) {
    SyntheticGuest made(description());
    made.set(made.tasks[1].mm, "mm_struct.env_end", ~std::uint64_t{0});
    auto guest = attach(made.machine());
    ASSERT_TRUE(guest);
    const Bounded bounded("an endless environment");
    const Answer answer = ask(**guest, "process_envs");
    ASSERT_TRUE(answer.report);
    EXPECT_NE(answer.rows.all_diagnostics().find("environment"), std::string::npos);
}

// This kernel's types tell nothing of times, transfers and control groups.
TEST(Processes, WhatTheTypesDoNotTellIsNull) {
    const SyntheticGuest made(description());
    auto guest = attach(made.machine());
    ASSERT_TRUE(guest);
    const Answer all = ask(**guest, "processes");
    ASSERT_TRUE(all.report);
    ASSERT_GE(all.rows.rows.size(), 7u);
    for (const char* column :
         {"wired_size", "user_time", "system_time", "disk_bytes_read", "disk_bytes_written", "cgroup_path"}) {
        for (std::size_t row = 0; row < all.rows.rows.size(); ++row)
            EXPECT_TRUE(is_null(all.rows.at(row, column))) << column;
    }
}

}  // namespace
}  // namespace vitrine::test
