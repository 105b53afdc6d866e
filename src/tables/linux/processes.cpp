// Processes: one row per thread group, the idle task left out, as ps and osquery list them.
#include <algorithm>
#include <array>
#include <initializer_list>

#include "os/linux/find/prove.h"
#include "os/linux/kernel_thread.h"
#include "os/linux/path.h"
#include "os/linux/pid_numbers.h"
#include "os/linux/process_usage.h"
#include "os/linux/task_view.h"
#include "os/linux/task_watch.h"
#include "os/linux/user_memory.h"
#include "os/linux/wall_clock.h"
#include "tables/row.h"
#include "tables/support/processes_spec.h"
#include "tables/support/task_walk.h"
#include "tables/support/warnings.h"

namespace vitrine {
namespace {

using namespace linux_os;
using tables::address;
using tables::integer;

using namespace processes_table;

// osquery joins arguments with spaces; so does ps.
std::string join_arguments(std::string bytes) {
    while (!bytes.empty() && bytes.back() == '\0') bytes.pop_back();
    for (char& c : bytes) {
        if (c == '\0') c = ' ';
    }
    return bytes;
}

// NULL for a moment that no clock of the guest's can have shown: both parts are the guest's own numbers.
Value epoch_seconds(std::uint64_t since_boot, std::int64_t boot_time) {
    std::int64_t moment = 0;
    if (__builtin_add_overflow(since_boot, boot_time, &moment)) return {};
    return moment / 1'000'000'000;
}

class RowMaker {
public:
    RowMaker(LinuxGuest& guest, QueryContext& context, RowSink& sink, const std::vector<TaskKey>& tasks)
        : guest_(guest),
          layout_(guest.layout()),
          context_(context),
          sink_(sink),
          warnings_(sink, "processes"),
          paths_(guest.space(), guest.layout()),
          user_(guest),
          watch_(guest, tasks, FieldId::task_tasks) {
        if (context.uses(kStartTime)) boot_time_ = boot_time(guest);
        if (uses_any({kWired, kControlGroup}) || uses_any(kTotals)) find_usage();
    }

    bool emit(TaskKey key) {
        using Outcome = TaskWatch::Outcome;
        bool readable = false;
        const auto outcome = watch_.read(key, [&](const TaskView* task) {
            row_.fill(Value());
            notes_.clear();
            readable = task != nullptr;
            if (readable) fill(key, *task);
            else fill_unread(key);
            // Of a process that has ended no thread is counted any more.
            return TaskWatch::Look{.ended = row_[kThreads] == Value(std::int64_t{0})};
        });
        if (outcome == Outcome::gone) return true;
        if (readable && outcome == Outcome::seems_ended)
            note(key, "is on the task list, though it counts no thread or has no pid");
        for (std::string& text : notes_) warnings_.tell(std::move(text));
        return sink_.row(row_);
    }

private:
    void fill_unread(const TaskKey& key) {
        row_[kPid] = std::int64_t{key.tgid};
        row_[kName] = row_[kComm] = std::string(key.name());
        row_[kTaskAddress] = address(key.address);
        note(key, "its task_struct cannot be read");
    }

    void fill(const TaskKey& key, const TaskView& task) {
        row_[kPid] = std::int64_t{key.tgid};
        row_[kName] = row_[kComm] = task.name();
        row_[kTaskAddress] = address(key.address);
        identity(key, task);
        credentials(task);
        memory(key, task);
        places(key, task);
        if (usage_) usage(key, task);
    }

    void identity(const TaskKey& key, const TaskView& task) {
        const AddressSpace& space = guest_.space();
        if (context_.uses(kName)) {
            if (auto name = kernel_thread_name(guest_, key, task)) row_[kName] = std::move(*name);
        }
        if (const auto state = task.state()) row_[kState] = std::string(1, *state);
        row_[kKernelThread] = std::int64_t{task.is_kernel_thread() ? 1 : 0};
        if (!layout_.has(FieldId::task_flags)) row_[kKernelThread] = Value();
        if (const auto flags = task.u32(FieldId::task_flags)) row_[kFlags] = address(*flags);
        if (const auto prio = task.i32(FieldId::task_static_prio))
            row_[kNice] = std::int64_t{*prio} - 120;  // DEFAULT_PRIO
        const auto start = task.u64(FieldId::task_start_boottime);
        row_[kStartNs] = integer(start);
        if (start && boot_time_) row_[kStartTime] = epoch_seconds(*start, *boot_time_);
        if (const auto parent = task.pointer(FieldId::task_real_parent); parent && !parent->is_null()) {
            if (const auto tgid = space.read_value<std::int32_t>(parent->wrap_plus(layout_.at(FieldId::task_tgid))))
                row_[kParent] = std::int64_t{*tgid};
        }
        if (const auto signal = task.pointer(FieldId::task_signal); signal && !signal->is_null()) {
            if (const auto offset = layout_.offset(FieldId::signal_nr_threads)) {
                if (const auto n = space.read_value<std::int32_t>(signal->wrap_plus(*offset)))
                    row_[kThreads] = std::int64_t{*n};
            }
            if (context_.uses(kPgroup)) row_[kPgroup] = integer(initial_pid(guest_, *signal, FieldId::signal_pgid));
            if (context_.uses(kSession)) row_[kSession] = integer(initial_pid(guest_, *signal, FieldId::signal_sid));
        }
        if (context_.uses(kNamespacePids)) {
            if (auto pids = namespace_pids(guest_, task)) row_[kNamespacePids] = std::move(*pids);
        }
    }

    void credentials(const TaskView& task) {
        const auto cred = task.pointer(FieldId::task_real_cred);
        if (!cred || cred->is_null()) return;
        static constexpr std::array<std::pair<std::size_t, FieldId>, 6> kIds{{{kUid, FieldId::cred_uid},
                                                                              {kGid, FieldId::cred_gid},
                                                                              {kEuid, FieldId::cred_euid},
                                                                              {kEgid, FieldId::cred_egid},
                                                                              {kSuid, FieldId::cred_suid},
                                                                              {kSgid, FieldId::cred_sgid}}};
        for (const auto& [column, field] : kIds) {
            if (!context_.uses(column) || !layout_.has(field)) continue;
            if (const auto id = guest_.space().read_value<std::uint32_t>(cred->wrap_plus(layout_.at(field))))
                row_[column] = std::int64_t{*id};
        }
    }

    void memory(const TaskKey& key, const TaskView& task) {
        const auto mm = task.pointer(FieldId::task_mm);
        if (!mm || mm->is_null()) return;
        row_[kMmAddress] = address(*mm);
        if (context_.uses(kTotal) && layout_.has(FieldId::mm_total_vm)) {
            const auto pages = guest_.space().read_value<std::uint64_t>(
                mm->wrap_plus(layout_.at(FieldId::mm_total_vm)));
            if (pages && *pages < (1ull << 50)) row_[kTotal] = static_cast<std::int64_t>(*pages * kPageSize);
        }
        if (context_.uses(kResident)) row_[kResident] = resident(*mm);
        if (context_.uses(kCmdline)) {
            auto line = user_.command_line(*mm);
            if (!line) {
                note(key, "command line: " + line.error().to_string());
            } else if (!line->bytes.empty()) {
                if (line->truncated) note(key, "command line is longer than what was read, or partly paged out");
                row_[kCmdline] = join_arguments(std::move(line->bytes));
            } else if (!line->truncated) {
                row_[kCmdline] = std::string();
            }
        }
        if ((context_.uses(kPath) || context_.uses(kOnDisk)) && layout_.has(FieldId::mm_exe_file)) {
            const auto file = guest_.space().read_pointer(mm->wrap_plus(layout_.at(FieldId::mm_exe_file)));
            if (file && !file->is_null()) executable(key, *file);
        }
    }

    Value resident(Gva mm) {
        std::int64_t pages = 0;
        for (const FieldId id : {FieldId::mm_rss_file, FieldId::mm_rss_anon, FieldId::mm_rss_shmem}) {
            const auto offset = layout_.offset(id);
            const auto count = offset ? guest_.space().read_value<std::int64_t>(mm.wrap_plus(*offset))
                                      : Result<std::int64_t>(Error{});
            if (!count || *count > (1ll << 40) || *count < -(1ll << 40)) return {};
            pages += *count;
        }
        // Per-CPU parts that were not folded in yet can make the sum of a small process negative.
        return std::max<std::int64_t>(pages, 0) * static_cast<std::int64_t>(kPageSize);
    }

    void executable(const TaskKey& key, Gva file) {
        auto path = paths_.of_file(file);
        if (!path) {
            note(key, "executable's path: " + path.error().to_string());
            return;
        }
        row_[kOnDisk] = std::int64_t{path->deleted ? 0 : 1};
        row_[kPath] = std::move(path->text);
    }

    void places(const TaskKey& key, const TaskView& task) {
        const auto fs = task.pointer(FieldId::task_fs);
        if (!fs || fs->is_null()) return;  // a zombie has none
        static constexpr std::array<std::pair<std::size_t, FieldId>, 2> kPlaces{
            {{kCwd, FieldId::fs_pwd}, {kRoot, FieldId::fs_root}}};
        for (const auto& [column, field] : kPlaces) {
            if (!context_.uses(column) || !layout_.has(field)) continue;
            auto path = paths_.of_path(fs->wrap_plus(layout_.at(field)));
            if (path) row_[column] = path->deleted ? path->text + " (deleted)" : std::move(path->text);
            else note(key, std::string(kSpec[column].name) + ": " + path.error().to_string());
        }
    }

    [[nodiscard]] bool uses_any(std::initializer_list<std::size_t> columns) const {
        return std::any_of(columns.begin(), columns.end(), [&](std::size_t column) { return context_.uses(column); });
    }

    // A kernel without types still gives the list.
    void find_usage() {
        const auto members = guest_.members(kUsageMembers);
        if (members) {
            usage_.emplace(guest_, **members);
            return;
        }
        sink_.diagnostic({Severity::info, "processes",
                          "times, transfers and control groups are unknown: " + members.error().to_string()});
    }

    void usage(const TaskKey& key, const TaskView& task) {
        if (const auto mm = task.pointer(FieldId::task_mm); context_.uses(kWired) && mm && !mm->is_null()) {
            const auto pages = usage_->locked_pages(*mm);
            if (pages && *pages < (1ull << 50)) row_[kWired] = static_cast<std::int64_t>(*pages * kPageSize);
        }
        if (context_.uses(kControlGroup)) {
            if (auto path = usage_->control_group(key.address)) row_[kControlGroup] = std::move(*path);
        }
        const auto signal = task.pointer(FieldId::task_signal);
        if (!uses_any(kTotals) || !signal || signal->is_null()) return;
        const ProcessTotals totals = usage_->totals(*signal, context_.budget);
        if (totals.time) {
            row_[kUserTime] = static_cast<std::int64_t>(totals.time->user / 1'000'000);
            row_[kSystemTime] = static_cast<std::int64_t>(totals.time->system / 1'000'000);
        }
        row_[kDiskRead] = integer(totals.bytes_read);
        row_[kDiskWritten] = integer(totals.bytes_written);
    }

    void note(const TaskKey& key, std::string what) {
        notes_.push_back("pid " + std::to_string(key.tgid) + ": " + std::move(what));
    }

    static constexpr std::initializer_list<std::size_t> kTotals = {kUserTime, kSystemTime, kDiskRead, kDiskWritten};

    LinuxGuest& guest_;
    const Layout& layout_;
    QueryContext& context_;
    RowSink& sink_;
    tables::Warnings warnings_;
    PathResolver paths_;
    UserMemory user_;
    std::optional<ProcessUsage> usage_;
    std::optional<std::int64_t> boot_time_;
    TaskWatch watch_;
    std::vector<std::string> notes_;
    std::array<Value, kColumns> row_;
};

Result<WalkReport> generate(LinuxGuest& guest, QueryContext& context, RowSink& sink) {
    const auto pid = context.wanted_integer(kPid);
    if (pid && !std::in_range<std::int32_t>(*pid)) return WalkReport{};
    const TaskSnapshot snapshot = pid ? guest.process(static_cast<std::int32_t>(*pid), context.budget)
                                      : guest.processes(context.budget);
    RowMaker maker(guest, context, sink, snapshot.tasks);
    // Each row may be made as dear as its bounds allow: all together have as much time as the walk.
    Deadline deadline(context.budget.time);
    return tables::for_each_task(snapshot, deadline, [&](const TaskKey& key) { return maker.emit(key); });
}

constexpr auto kNeeds = std::to_array<const NeedGroup*>({&kUsageMembers});
constexpr auto kGenerators = std::to_array<Generator>({{"linux", tables::on_linux<generate>, kNeeds}});

}  // namespace

extern const Table table_processes;
const Table table_processes{
    {"processes", "Processes of the guest, from the kernel's task list.", kSpec, kExamples, kQueries, kInvariants},
    kGenerators};

}  // namespace vitrine
