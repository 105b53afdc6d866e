// Threads: one row per task of every process.
#include <array>

#include "os/linux/find/prove.h"
#include "os/linux/kernel_thread.h"
#include "os/linux/task_view.h"
#include "tables/row.h"

namespace vitrine {
namespace {

using namespace linux_os;

constexpr auto kSpec = std::to_array<Column>({
    {"pid", ColumnType::integer, "process id (thread group)"},
    {"tid", ColumnType::integer, "thread id"},
    {"name", ColumnType::text, "name as /proc/PID/task/TID/comm shows it"},
    {"state", ColumnType::text, "R S D T t X Z P I, as /proc/PID/task/TID/stat"},
    {"nice", ColumnType::integer, "nice value, -20 to 19"},
    {"uid", ColumnType::integer, "real user id"},
    {"start_ns", ColumnType::integer, "start, nanoseconds since the guest's boot"},
    {"kernel_thread", ColumnType::boolean, "1: runs in the kernel only"},
    {"task", ColumnType::address, "address of struct task_struct"},
});

constexpr auto kExamples = std::to_array<std::string_view>({"vitrine threads qemu:web1"});

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

Result<WalkReport> generate(LinuxGuest& guest, QueryContext& context, RowSink& sink) {
    TaskSnapshot snapshot = guest.threads(context.budget);
    std::optional<AddressSpace> fresh;  // of a running guest: past all caches
    if (guest.machine().is_live()) fresh.emplace(guest.machine().memory(), guest.space().mode(), guest.space().root());
    Deadline deadline(context.budget.time);
    for (const TaskKey& key : snapshot.tasks) {
        if (deadline.passed_now()) {
            snapshot.report.end = WalkEnd::budget;
            break;
        }
        std::array<Value, kSpec.size()> row;
        row[0] = std::int64_t{key.tgid};
        row[1] = std::int64_t{key.pid};
        row[2] = std::string(key.name());
        row[8] = tables::address(key.address);
        if (const auto task = TaskView::read(guest, key)) {
            if (fresh && task->is_released()) continue;
            fill(guest, key, *task, row);
            if (fresh && !task->still_holds(*fresh, key.address)) {
                guest.new_generation();
                const auto again = TaskView::read(guest, key);
                if (!again || again->is_released()) continue;
                fill(guest, key, *again, row);
            }
        } else if (fresh) {
            continue;  // ended while the list was read
        }
        if (!sink.row(row)) {
            snapshot.report.end = WalkEnd::stopped;
            break;
        }
    }
    return snapshot.report;
}

}  // namespace

extern const Table table_process_threads;
const Table table_process_threads{
    {"process_threads", "Threads of all processes, from each process's thread list.", kSpec, kExamples},
    generate};

}  // namespace vitrine
