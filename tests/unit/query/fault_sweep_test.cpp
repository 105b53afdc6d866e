// Every table of a guest whose memory fails, or changes while it is read: it ends, and what is missing is said.
#include "support/fault_sweep.h"

#include <fmt/format.h>

#include <chrono>
#include <map>
#include <stdexcept>

#include "support/guest_test_support.h"

namespace vitrine::test {
namespace {

constexpr WalkBudget kBudget{1u << 16, std::chrono::milliseconds(2000)};

SyntheticGuest small_guest() {
    GuestDescription d;
    d.types.seed = 95;
    d.modules = 4;
    return SyntheticGuest(d);
}

std::map<std::string_view, std::size_t> rows_of_each(const SyntheticGuest& made) {
    auto guest = attach(made.machine(made.vcpus()));
    if (!guest) throw std::logic_error(guest.error().to_string());
    std::map<std::string_view, std::size_t> rows;
    for (const Table* table : all_tables()) rows[table->spec.name] = ask(**guest, table->spec.name).rows.rows.size();
    return rows;
}

// Attaches undisturbed, for each table anew: one table may keep what the next would read.
void sweep(const SyntheticGuest& made, bool live, const std::string& where, FunctionRef<void(StoreFilter&)> disturb,
           FunctionRef<void(const Table&, const Answer&)> check) {
    for (const Table* table : all_tables()) {
        auto filter = std::make_shared<StoreFilter>(made.store());
        auto machine = made.machine_over(filter, made.vcpus());
        machine->live = live;
        auto guest = attach(std::move(machine));
        ASSERT_TRUE(guest) << where;
        const Bounded bounded(fmt::format("{}, {}", table->spec.name, where), 3.0);
        disturb(*filter);
        const Answer answer = ask(**guest, table->spec.name, kBudget);
        SCOPED_TRACE(fmt::format("{}, {}", table->spec.name, where));
        EXPECT_FALSE(answer.rows.widths_differ);
        if (!answer.report) {
            EXPECT_FALSE(answer.report.error().to_string().empty());
        }
        check(*table, answer);
    }
}

class Missing {
public:
    explicit Missing(const SyntheticGuest& made) : whole_(rows_of_each(made)) {}
    void operator()(const Table& table, const Answer& answer) {
        EXPECT_LE(answer.rows.rows.size(), whole_.at(table.spec.name));
        const bool said = !answer.report || answer.report->end != WalkEnd::complete || !answer.rows.diagnostics.empty();
        if (answer.rows.rows.size() == whole_.at(table.spec.name)) return;
        ++fewer;
        EXPECT_TRUE(said) << answer.rows.rows.size() << " of " << whole_.at(table.spec.name)
                          << " rows, and nothing said";
    }
    std::size_t fewer = 0;

private:
    std::map<std::string_view, std::size_t> whole_;
};

TEST(FaultSweep, EveryNthReadFailsForEveryTable) {
    const SyntheticGuest made = small_guest();
    Missing check(made);
    for (const std::size_t n : kSweep)
        sweep(made, false, fmt::format("every {}th read fails", n), [n](StoreFilter& f) { refuse_every(f, n); }, check);
    EXPECT_GT(check.fewer, 0u);
}

// A value that could not be read is NULL like one that there is not: what tells them apart is said once for the table.
TEST(FaultSweep, ReadsThatFailedAreSaidWithTheTable) {
    const SyntheticGuest made = small_guest();
    for (const char* table : {"kernel_info", "kernel_modules", "process_namespaces"}) {
        auto filter = std::make_shared<StoreFilter>(made.store());
        auto guest = attach(made.machine_over(filter, made.vcpus()));
        ASSERT_TRUE(guest);
        EXPECT_EQ(ask(**guest, table).rows.all_diagnostics().find("reads of the guest's memory failed"),
                  std::string::npos);
        refuse_every(*filter, 2);
        EXPECT_NE(ask(**guest, table).rows.all_diagnostics().find("reads of the guest's memory failed"),
                  std::string::npos)
            << table;
        filter->refuse = nullptr;
        EXPECT_EQ(ask(**guest, table).rows.all_diagnostics().find("reads of the guest's memory failed"),
                  std::string::npos)
            << table << ": of this answer, not of those before";
    }
}

TEST(FaultSweep, PagesAreMissingForEveryTable) {
    const SyntheticGuest made = small_guest();
    Missing check(made);
    for (const std::size_t n : {2u, 3u, 5u, 17u, 64u}) {
        for (std::size_t which = 0; which < std::min<std::size_t>(n, 8); ++which) {
            sweep(
                made, false, fmt::format("page {} of each {} is missing", which, n),
                [&](StoreFilter& f) { refuse_pages(f, n, which); }, check);
        }
    }
    EXPECT_GT(check.fewer, 0u);
}

TEST(FaultSweep, BytesChangeUnderEveryTable) {
    const SyntheticGuest made = small_guest();
    std::size_t odd = 0;
    for (const std::size_t n : kSweep) {
        for (std::uint32_t seed = 0; seed < 4; ++seed) {
            for (const bool live : {false, true}) {
                sweep(
                    made, live, fmt::format("every {}th read is altered, seed {}{}", n, seed, live ? ", live" : ""),
                    [&](StoreFilter& f) { mutate_every(f, n, seed); },
                    [&](const Table&, const Answer& answer) {
                        if (answer.end() != WalkEnd::complete || !answer.rows.diagnostics.empty()) ++odd;
                    });
            }
        }
    }
    EXPECT_GT(odd, 0u);
}

}  // namespace
}  // namespace vitrine::test
