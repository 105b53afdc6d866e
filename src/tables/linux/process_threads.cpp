// Threads: one row per task of every process.
#include <array>

#include "os/linux/find/prove.h"
#include "os/linux/kernel_thread.h"
#include "os/linux/task_view.h"
#include "os/linux/task_watch.h"
#include "tables/row.h"
#include "tables/support/task_walk.h"
#include "tables/support/warnings.h"

namespace vitrine {
namespace {

using namespace linux_os;

constexpr auto kSpec = std::to_array<Column>({
    index({"pid", ColumnType::integer, "process id (thread group)"}),
    index({"tid", ColumnType::integer, "thread id"}),
    {"name", ColumnType::text, "name as /proc/PID/task/TID/comm shows it"},
    {"state", ColumnType::text, "R S D T t X Z P I, as /proc/PID/task/TID/stat"},
    {"nice", ColumnType::integer, "nice value, -20 to 19"},
    {"uid", ColumnType::integer, "real user id"},
    {"start_ns", ColumnType::integer, "start, nanoseconds since the guest's boot"},
    {"kernel_thread", ColumnType::boolean, "1: runs in the kernel only"},
    {"task", ColumnType::address, "address of struct task_struct"},
});

constexpr auto kExamples = std::to_array<std::string_view>({"vitrine threads qemu:web1"});

constexpr auto kQueries = std::to_array<std::string_view>({
    "SELECT tid, name, state FROM process_threads WHERE pid = 1",
    "SELECT pid, count(*) AS threads FROM process_threads GROUP BY pid ORDER BY threads DESC LIMIT 10",
});

constexpr auto kInvariants = std::to_array<Invariant>({
    {"a thread id once", "SELECT tid FROM process_threads GROUP BY tid HAVING count(*) > 1"},
    {"every thread is of a process", "SELECT tid FROM process_threads WHERE pid NOT IN (SELECT pid FROM processes)"},
    {"every process has its leader among its threads",
     "SELECT pid FROM processes WHERE pid NOT IN (SELECT tid FROM process_threads WHERE tid = pid)"},
});

void fill(LinuxGuest& guest, const TaskKey& key, const TaskView& task, std::array<Value, kSpec.size()>& row) {
    const Layout& layout = guest.layout();
    if (auto name = kernel_thread_name(guest, key, task)) row[2] = std::move(*name);
    if (const auto state = task.state()) row[3] = std::string(1, *state);
    if (const auto prio = task.i32(FieldId::task_static_prio)) row[4] = std::int64_t{*prio} - 120;
    const auto cred = task.pointer(FieldId::task_real_cred);
    if (cred && !cred->is_null() && layout.has(FieldId::cred_uid)) {
        if (const auto uid = guest.space().read_value<std::uint32_t>(cred->wrap_plus(layout.at(FieldId::cred_uid))))
            row[5] = std::int64_t{*uid};
    }
    row[6] = tables::integer(task.u64(FieldId::task_start_boottime));
    if (layout.has(FieldId::task_flags)) row[7] = std::int64_t{task.is_kernel_thread() ? 1 : 0};
}

class RowMaker {
public:
    RowMaker(LinuxGuest& guest, RowSink& sink, const std::vector<TaskKey>& tasks)
        : guest_(guest),
          sink_(sink),
          warnings_(sink, "process_threads"),
          watch_(guest, tasks, FieldId::task_thread_node) {}

    bool emit(TaskKey key) {
        using Outcome = TaskWatch::Outcome;
        std::array<Value, kSpec.size()> row;
        bool readable = false;
        const auto outcome = watch_.read(key, [&](const TaskView* task) {
            row = {std::int64_t{key.tgid}, std::int64_t{key.pid}, std::string(key.name())};
            row[8] = tables::address(key.address);
            readable = task != nullptr;
            if (readable) fill(guest_, key, *task, row);
            return TaskWatch::Look{};
        });
        if (outcome == Outcome::gone) return true;
        if (!readable) tell(key, "its task_struct cannot be read");
        else if (outcome == Outcome::seems_ended)
            tell(key, "is on its process's list of threads, though it has no pid");
        return sink_.row(row);
    }

private:
    void tell(const TaskKey& key, const char* what) {
        warnings_.tell("thread " + std::to_string(key.pid) + ": " + what);
    }

    LinuxGuest& guest_;
    RowSink& sink_;
    tables::Warnings warnings_;
    TaskWatch watch_;
};

// All threads, or those that may be wanted.
TaskSnapshot wanted_threads(const LinuxGuest& guest, const QueryContext& context) {
    const auto pid = context.wanted_integer(0), tid = context.wanted_integer(1);
    for (const auto& id : {pid, tid}) {
        if (id && !std::in_range<std::int32_t>(*id)) return {};
    }
    if (pid) return guest.threads_of(static_cast<std::int32_t>(*pid), context.budget);
    if (tid) return guest.thread(static_cast<std::int32_t>(*tid), context.budget);
    return guest.threads(context.budget);
}

Result<WalkReport> generate(LinuxGuest& guest, QueryContext& context, RowSink& sink) {
    const TaskSnapshot snapshot = wanted_threads(guest, context);
    RowMaker maker(guest, sink, snapshot.tasks);
    Deadline deadline(context.budget.time);
    return tables::for_each_task(snapshot, deadline, [&](const TaskKey& key) { return maker.emit(key); });
}

constexpr auto kGenerators = std::to_array<Generator>({{"linux", tables::on_linux<generate>}});

}  // namespace

extern const Table table_process_threads;
const Table table_process_threads{{"process_threads", "Threads of all processes, from each process's thread list.",
                                   kSpec, kExamples, kQueries, kInvariants},
                                  kGenerators};

}  // namespace vitrine
