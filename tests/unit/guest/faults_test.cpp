// Reads that fail, memory that changes between two reads, machines that end: errors or fewer rows, never rows with invented values.
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <stdexcept>
#include <variant>

#include "support/guest_test_support.h"

namespace vitrine::test {
namespace {

constexpr std::array<std::string_view, 5> kTables = {"processes", "process_threads", "kernel_modules", "symbols",
                                                     "types"};
constexpr std::array<std::string_view, 5> kKeys = {"task", "task", "module", "", "id"};

// Rows of an undisturbed guest by their key (symbols: all of them as a set).
struct Truth {
    std::map<std::string, std::map<std::string, std::vector<Value>>> by_key;
};

std::string print(const Value& value) {
    struct Printer {
        std::string operator()(std::monostate) const { return "-"; }
        std::string operator()(std::int64_t v) const { return std::to_string(v); }
        std::string operator()(double v) const { return std::to_string(v); }
        std::string operator()(AddressValue v) const { return fmt::format("{:#x}", v.value); }
        std::string operator()(const std::string& v) const { return '"' + v + '"'; }
    };
    return std::visit(Printer{}, value);
}

std::string key_of(const Rows& rows, std::size_t row, std::string_view key) {
    if (!key.empty()) return print(rows.at(row, key));
    return print(rows.at(row, "address")) + " " + print(rows.at(row, "name"));
}

Truth truth_of(const SyntheticGuest& made) {
    Truth truth;
    auto guest = attach(made.machine(made.vcpus()));
    if (!guest) throw std::logic_error(guest.error().to_string());
    for (std::size_t t = 0; t < kTables.size(); ++t) {
        const Answer answer = ask(**guest, kTables[t]);
        auto& rows = truth.by_key[std::string(kTables[t])];
        for (std::size_t i = 0; i < answer.rows.rows.size(); ++i)
            rows[key_of(answer.rows, i, kKeys[t])] = answer.rows.rows[i];
    }
    return truth;
}

// Every value is the true one or NULL.
void expect_nothing_invented(const Truth& truth, const Rows& rows, std::string_view key, const std::string& where) {
    const auto& known = truth.by_key.at(std::string(rows.table.spec.name));
    for (std::size_t i = 0; i < rows.rows.size(); ++i) {
        const auto found = known.find(key_of(rows, i, key));
        ASSERT_NE(found, known.end()) << where << ": a row of " << rows.table.spec.name
                                      << " that does not exist: " << key_of(rows, i, key);
        for (std::size_t c = 0; c < rows.rows[i].size(); ++c) {
            const Value& value = rows.rows[i][c];
            if (std::holds_alternative<std::monostate>(value) || value == found->second[c]) continue;
            // Where a longer name cannot be read, the one in task_struct is left.
            if (rows.table.spec.columns[c].name == "name") continue;
            // A symbol's letter that is not known.
            if (rows.table.spec.columns[c].name == "type" && value == Value(std::string("?"))) continue;
            // The module has a name, which could not be read.
            if (rows.table.spec.columns[c].name == "module" && value == Value(std::string("?"))) continue;
            ADD_FAILURE() << where << ": " << rows.table.spec.name << "." << rows.table.spec.columns[c].name << " is "
                          << print(value) << ", not " << print(found->second[c]);
        }
    }
}

struct Outcome {
    bool attached = false;
    std::size_t reads = 0;
    std::size_t incomplete = 0;
};

Outcome run(const SyntheticGuest& made, const Truth& truth, std::function<bool(std::size_t, const StoreReadOp&)> refuse,
            std::optional<FindRoute> route, const std::string& where, AccessMethod method = AccessMethod::synthetic) {
    auto filter = std::make_shared<StoreFilter>(made.store(), method);
    filter->refuse = std::move(refuse);
    Outcome outcome;
    auto guest = attach(
        made.machine_over(filter, route == FindRoute::registers || !route ? made.vcpus() : std::vector<VcpuState>{}),
        route);
    outcome.reads = filter->operations;
    if (!guest) return outcome;
    outcome.attached = true;
    EXPECT_EQ((*guest)->kernel().text_va, made.text) << where;
    for (std::size_t t = 0; t < kTables.size(); ++t) {
        const Answer answer = ask(**guest, kTables[t]);
        expect_nothing_invented(truth, answer.rows, kKeys[t], where);
        const bool fewer = answer.rows.rows.size() < truth.by_key.at(std::string(kTables[t])).size();
        const bool said = !answer.report || answer.report->end != WalkEnd::complete || !answer.rows.diagnostics.empty();
        if (fewer) {
            EXPECT_TRUE(said) << where << ": " << kTables[t] << " gives " << answer.rows.rows.size()
                              << " rows and says nothing";
        }
        outcome.incomplete += fewer || said ? 1 : 0;
    }
    outcome.reads = filter->operations;
    return outcome;
}

SyntheticGuest small() {
    GuestDescription d;
    d.types.seed = 50;
    return SyntheticGuest(d);
}

TEST(Faults, EveryNthReadFails) {
    const SyntheticGuest made = small();
    const Truth truth = truth_of(made);
    std::size_t attached = 0;
    for (std::size_t n = 1; n < 400; n = n < 32 ? n + 1 : n * 5 / 4) {
        attached += run(
                        made, truth, [n](std::size_t number, const StoreReadOp&) { return number % n == n - 1; },
                        FindRoute::registers, fmt::format("every {}th", n))
                        .attached;
    }
    EXPECT_GT(attached, 0u);
}

TEST(Faults, OneReadFails) {
    const SyntheticGuest made = small();
    const Truth truth = truth_of(made);
    const std::size_t reads = run(made, truth, nullptr, FindRoute::registers, "undisturbed").reads;
    ASSERT_GT(reads, 100u);
    std::size_t attached = 0, incomplete = 0;
    const std::size_t step = std::max<std::size_t>(1, reads / 400);
    for (std::size_t n = 0; n < reads; n += step) {
        const Outcome outcome = run(
            made, truth, [n](std::size_t number, const StoreReadOp&) { return number == n; }, FindRoute::registers,
            fmt::format("read {}", n));
        attached += outcome.attached ? 1 : 0;
        incomplete += outcome.incomplete;
    }
    EXPECT_GT(attached, 0u);
    EXPECT_GT(incomplete, 0u);
}

TEST(Faults, FromTheNthReadOnAllFail) {
    const SyntheticGuest made = small();
    const Truth truth = truth_of(made);
    for (const FindRoute route : {FindRoute::registers, FindRoute::page_tables, FindRoute::scan}) {
        const std::size_t reads = run(made, truth, nullptr, route, "undisturbed").reads;
        const std::size_t step = std::max<std::size_t>(1, reads / 60);
        for (std::size_t n = 0; n < reads; n += step) {
            run(
                made, truth, [n](std::size_t number, const StoreReadOp&) { return number >= n; }, route,
                fmt::format("from read {} on, {}", n, to_string(route)));
        }
    }
}

// A page of RAM that cannot be read, each in its turn: what a dump with holes is like.
TEST(Faults, OnePageIsMissing) {
    const SyntheticGuest made = small();
    const Truth truth = truth_of(made);
    std::size_t attached = 0;
    for (const auto& [number, page] : made.ram.pages()) {
        const std::uint64_t at = number * kPageSize;
        const auto touches = [at](std::size_t, const StoreReadOp& op) {
            return op.offset < at + kPageSize && at < op.offset + op.out.size();
        };
        // The pages of the text are many and alike.
        if (at >= made.d.text_pa && at < made.d.text_pa + SyntheticGuest::kPart) continue;
        for (const AccessMethod method : {AccessMethod::synthetic, AccessMethod::copied}) {
            attached += run(made, truth, touches, FindRoute::registers, fmt::format("page {:#x}", at), method).attached;
        }
    }
    EXPECT_GT(attached, 0u);
}

TEST(Faults, TheMonitorEndsWhileItIsRead) {
    const SyntheticGuest made = small();
    auto counter = std::make_shared<StoreFilter>(made.store());
    {
        auto guest = attach(made.machine_over(counter, made.vcpus()));
        ASSERT_TRUE(guest);
    }
    for (std::size_t n = 0; n < counter->operations; n += 1 + counter->operations / 50) {
        auto filter = std::make_shared<StoreFilter>(made.store());
        filter->refuse = [&, n](std::size_t number, const StoreReadOp&) {
            filter->gone = filter->gone || number >= n;
            return number >= n;
        };
        auto guest = attach(made.machine_over(filter, made.vcpus()));
        filter->refuse = nullptr;
        if (!guest) continue;
        filter->gone = true;
        for (const auto table : kTables) {
            const Answer answer = ask(**guest, table);
            if (table == "symbols" || table == "types") continue;  // kept from before
            EXPECT_TRUE(answer.rows.rows.empty()) << table;
            EXPECT_NE(answer.end(), WalkEnd::complete) << table;
        }
    }
}

// A running guest rewrites its memory between any two reads: each answer ends, within its retries.
TEST(Faults, BytesThatFlipBetweenReads) {
    const SyntheticGuest made = small();
    for (const std::size_t period : {3u, 7u, 20u, 100u}) {
        const Bounded bounded(fmt::format("a bit of each {}th read flips", period), 8.0);
        for (std::uint32_t seed = 0; seed < 30; ++seed) {
            auto filter = std::make_shared<StoreFilter>(made.store());
            auto machine = made.machine_over(filter, made.vcpus());
            machine->live = true;
            auto guest = attach(std::move(machine));
            ASSERT_TRUE(guest);
            std::mt19937 random(seed);
            filter->alter = [&](std::size_t number, StoreReadOp& op) {
                if (number % period == 0 && !op.out.empty())
                    op.out[random() % op.out.size()] ^= std::byte{static_cast<unsigned char>(1u << random() % 8)};
            };
            for (const std::string_view table : {"processes", "process_threads", "kernel_modules"}) {
                const Answer answer = ask(**guest, table, {1u << 16, std::chrono::milliseconds(2000)});
                if (answer.report && table != "process_threads") {
                    EXPECT_LE(answer.report->retries, 8u) << table;
                }
            }
        }
    }
}

// A guest that always has one more task: the list grows under the reader.
TEST(Faults, ListThatIsAlwaysTornIsRetriedABoundedNumberOfTimes) {
    const SyntheticGuest made = small();
    auto filter = std::make_shared<StoreFilter>(made.store());
    auto machine = made.machine_over(filter, made.vcpus());
    machine->live = true;
    auto guest = attach(std::move(machine));
    ASSERT_TRUE(guest);
    const auto link = made.ram.offset_of(made.physical(made.member(made.tasks[5].address, "task_struct.tasks")).value);
    filter->alter = [&](std::size_t, StoreReadOp& op) {  // prev of the fifth task never agrees
        if (op.offset <= *link + 8 && op.offset + op.out.size() >= *link + 16)
            op.out[static_cast<std::size_t>(*link + 8 - op.offset)] ^= std::byte{0x40};
    };
    const TaskSnapshot snapshot = (*guest)->as_linux()->processes();
    EXPECT_EQ(snapshot.report.end, WalkEnd::inconsistent);
    EXPECT_EQ(snapshot.report.retries, 8u);
    EXPECT_EQ(snapshot.tasks.size(), 4u);
}

}  // namespace
}  // namespace vitrine::test
