// Tasks of a running guest that look as if they had ended: left out only if they really are off their list.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <tuple>

#include "support/guest_test_support.h"
#include "support/vector_store.h"

namespace vitrine::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

GuestDescription description() {
    GuestDescription d;
    d.types.seed = 120;
    return d;
}

// A running guest whose memory a test may change at any read.
struct Running {
    explicit Running(const SyntheticGuest& made)
        : bytes(std::make_shared<vitrine::testing::VectorStore>(made.ram.flat())),
          filter(std::make_shared<StoreFilter>(bytes)) {
        auto machine = made.machine_over(filter, made.vcpus());
        machine->live = true;
        auto attached = attach(std::move(machine));
        if (!attached) throw std::logic_error(attached.error().to_string());
        guest = std::move(*attached);
    }
    void put(Gpa at, std::uint64_t value) { std::memcpy(bytes->bytes.data() + at.value, &value, sizeof value); }

    std::shared_ptr<vitrine::testing::VectorStore> bytes;
    std::shared_ptr<StoreFilter> filter;
    std::unique_ptr<Guest> guest;
};

bool lists(const Rows& rows, std::string_view column, std::int64_t id) {
    for (std::size_t i = 0; i < rows.rows.size(); ++i) {
        if (rows.integer(i, column) == id) return true;
    }
    return false;
}

// Is this the read of the structure from its beginning on, which no walk of a list does?
bool reads_whole(const SyntheticGuest& made, Gva task, const StoreReadOp& op) {
    const auto at = [&](const char* member) { return made.types.offset(member); };
    const std::uint32_t of_walk = std::max({at("task_struct.tasks"), at("task_struct.thread_node"),
                                            at("task_struct.pid"), at("task_struct.tgid"), at("task_struct.comm")});
    return op.offset == made.physical(task).value && op.out.size() >= of_walk;
}

TEST(HiddenTasks, OneWordHidesNoProcess) {
    for (const char* word : {"nr_threads", "thread_pid"}) {
        SyntheticGuest made(description());
        const SyntheticTask& task = made.tasks[3];
        if (word == std::string_view("nr_threads")) made.set32(task.signal, "signal_struct.nr_threads", 0);
        else made.set(task.address, "task_struct.thread_pid", Gva{});
        const Running running(made);
        const Answer answer = ask(*running.guest, "processes");
        ASSERT_TRUE(answer.report) << answer.report.error().to_string();
        EXPECT_EQ(answer.end(), WalkEnd::complete);
        EXPECT_EQ(answer.rows.rows.size(), made.tasks.size() - 1) << word;
        EXPECT_TRUE(lists(answer.rows, "pid", task.pid)) << word;
        EXPECT_THAT(answer.rows.all_diagnostics(), HasSubstr(fmt::format("pid {}: is on the task list", task.pid)));
    }
}

TEST(HiddenTasks, OneWordHidesNoThread) {
    SyntheticGuest made(description());
    const SyntheticTask& task = made.tasks[3];
    ASSERT_GT(task.threads.size(), 1u);
    made.set(task.address, "task_struct.thread_pid", Gva{});
    const Running running(made);
    const Answer answer = ask(*running.guest, "process_threads");
    EXPECT_EQ(answer.end(), WalkEnd::complete);
    for (const std::int32_t tid : task.threads) EXPECT_TRUE(lists(answer.rows, "tid", tid)) << tid;
    EXPECT_THAT(answer.rows.all_diagnostics(), HasSubstr(fmt::format("thread {}: is on its process's", task.pid)));
}

TEST(HiddenTasks, AStructureThatCannotBeReadWholeIsNamed) {
    const SyntheticGuest made(description());
    const SyntheticTask& task = made.tasks[4];
    const Running running(made);
    running.filter->refuse = [&](std::size_t, const StoreReadOp& op) { return reads_whole(made, task.address, op); };
    for (const auto& [table, column] : {std::pair{"processes", "pid"}, std::pair{"process_threads", "tid"}}) {
        const Answer answer = ask(*running.guest, table);
        EXPECT_EQ(answer.end(), WalkEnd::complete);
        EXPECT_TRUE(lists(answer.rows, column, task.pid)) << table;
        EXPECT_THAT(answer.rows.all_diagnostics(), HasSubstr("its task_struct cannot be read")) << table;
    }
}

// The ids of a task change between the walk of the list and the reading of the task, each time.
TEST(HiddenTasks, ChangingItsIdHidesNoProcess) {
    const SyntheticGuest made(description());
    const SyntheticTask& task = made.tasks[4];
    const Running running(made);
    const std::uint32_t pid_at = made.types.offset("task_struct.pid");
    running.filter->alter = [&](std::size_t, StoreReadOp& op) {
        if (reads_whole(made, task.address, op)) op.out[pid_at] ^= std::byte{0x40};
    };
    const Answer answer = ask(*running.guest, "processes");
    EXPECT_EQ(answer.end(), WalkEnd::complete);
    EXPECT_TRUE(lists(answer.rows, "pid", task.pid));
}

// What an honest guest does: release_task() between the walk and the reading.
TEST(HiddenTasks, AProcessThatEndsMeanwhileIsLeftOut) {
    const SyntheticGuest made(description());
    const SyntheticTask& task = made.tasks[4];
    for (const auto& [table, link, count] :
         {std::tuple{"processes", "task_struct.tasks", made.tasks.size() - 2},
          std::tuple{"process_threads", "task_struct.thread_node", std::size_t{0}}}) {
        Running running(made);
        const Gva node = made.member(task.address, link);
        const Gva next{made.get<std::uint64_t>(node)}, previous{made.get<std::uint64_t>(node.wrap_plus(8))};
        running.filter->alter = [&](std::size_t, StoreReadOp& op) {
            if (!reads_whole(made, task.address, op)) return;
            running.put(made.physical(made.member(task.address, "task_struct.thread_pid")), 0);
            running.put(made.physical(previous), next.value);
            running.put(made.physical(next).wrap_plus(8), previous.value);
            running.put(made.physical(node).wrap_plus(8), 0xdead'0000'0000'0122);  // LIST_POISON2
        };
        const Answer answer = ask(*running.guest, table);
        EXPECT_EQ(answer.end(), WalkEnd::complete);
        EXPECT_FALSE(lists(answer.rows, "pid", task.pid)) << table;
        if (count != 0) {
            EXPECT_EQ(answer.rows.rows.size(), count);
        }
        EXPECT_THAT(answer.rows.all_diagnostics(), IsEmpty()) << table;
    }
}

// Whatever a guest makes of its tasks costs it no more than a bounded number of second looks.
TEST(HiddenTasks, AllThatLookEndedAreListedInBoundedTime) {
    GuestDescription d = description();
    d.tasks = 150;
    SyntheticGuest made(d);
    for (const SyntheticTask& task : made.tasks) made.set(task.address, "task_struct.thread_pid", Gva{});
    const Running running(made);
    for (const char* table : {"processes", "process_threads"}) {
        const Bounded bounded(std::string(table) + " that all look ended");
        const auto began = std::chrono::steady_clock::now();
        const Answer answer = ask(*running.guest, table);
        EXPECT_GE(answer.rows.rows.size(), made.tasks.size() - 1) << table;
        EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(2 * Bounded::kSlower)) << table;
    }
}

TEST(HiddenTasks, ALeaderIsListedWhateverItsThreadsAre) {
    for (const char* damage : {"threads_in_a_circle", "threads_self_loop", "threads_into_nothing"}) {
        SyntheticGuest made(description());
        damages().find(damage)->second(made);
        const Running running(made);
        const Answer answer = ask(*running.guest, "process_threads");
        ASSERT_TRUE(answer.report) << damage;
        EXPECT_NE(answer.end(), WalkEnd::complete) << damage;
        for (const SyntheticTask& task : made.tasks) {
            EXPECT_TRUE(task.pid == 0 || lists(answer.rows, "tid", task.pid)) << damage << ", " << task.pid;
        }
    }
}

TEST(HiddenTasks, TimesThatNoClockCanShowAreNull) {
    constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    SyntheticGuest made(description());
    const std::array<std::uint64_t, 4> starts = {kMost, kMost + 1, ~std::uint64_t{0},
                                                 kMost - static_cast<std::uint64_t>(made.d.booted)};
    for (std::size_t i = 0; i < starts.size(); ++i)
        made.set(made.tasks[1 + i].address, "task_struct.start_boottime", starts[i]);
    auto guest = attach(made.machine(made.vcpus()));
    ASSERT_TRUE(guest) << guest.error().to_string();
    const Answer answer = ask(**guest, "processes");
    for (const std::size_t i : {0u, 1u, 2u}) EXPECT_EQ(answer.rows.at(i, "start_time"), Value()) << i;
    EXPECT_EQ(answer.rows.integer(3, "start_time"), static_cast<std::int64_t>(kMost / 1'000'000'000));
    EXPECT_EQ(answer.rows.integer(0, "start_ns"), static_cast<std::int64_t>(kMost));
    for (const std::size_t i : {1u, 2u}) EXPECT_EQ(answer.rows.at(i, "start_ns"), Value()) << i;
}

// The last module is passed over on the way forth; the list's head still leads to it on the way back.
TEST(HiddenModules, TheLastOneIsMissed) {
    SyntheticGuest made(description());
    const std::size_t last = made.modules.size() - 1;
    made.put(damage::module_link(made, last - 1), made.symbol("modules"));
    auto guest = attach(made.machine(made.vcpus()));
    ASSERT_TRUE(guest) << guest.error().to_string();
    const Answer answer = ask(**guest, "kernel_modules");
    EXPECT_EQ(answer.rows.rows.size(), last);
    EXPECT_EQ(answer.end(), WalkEnd::inconsistent);
}

}  // namespace
}  // namespace vitrine::test
