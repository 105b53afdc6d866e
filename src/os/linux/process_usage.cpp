#include "os/linux/process_usage.h"

#include <algorithm>
#include <array>

#include "os/linux/find/prove.h"
#include "os/linux/member_reader.h"
#include "os/linux/task_list.h"

namespace vitrine::linux_os {
namespace {

// Times and transfers are the same members of a task and of what its process keeps of ended ones.
enum : std::size_t {
    kUser,
    kSystem,
    kPreviousUser,
    kPreviousSystem,
    kRuntime,
    kRead,
    kWritten,
    kCancelled,
    kOfOne,  // so many
};
enum : std::size_t {
    kOfTask = 0,
    kOfSignal = kOfOne,
    kLocked = 2 * kOfOne,
    kCssSet,
    kDefaultGroup,
    kNode,
    kNodeName,
    kNodeParent
};

constexpr MemberNeed optional_u64(std::string_view structure, std::string_view path) {
    return {structure, {path}, MemberShape::u64, false};
}
constexpr MemberNeed optional_pointer(std::string_view structure, std::string_view path, std::string_view older = {}) {
    return {structure, {path, older}, MemberShape::pointer, false};
}

constexpr auto kMembers = std::to_array<MemberNeed>({
    optional_u64("task_struct", "utime"),
    optional_u64("task_struct", "stime"),
    optional_u64("task_struct", "prev_cputime.utime"),
    optional_u64("task_struct", "prev_cputime.stime"),
    optional_u64("task_struct", "se.sum_exec_runtime"),
    optional_u64("task_struct", "ioac.read_bytes"),
    optional_u64("task_struct", "ioac.write_bytes"),
    optional_u64("task_struct", "ioac.cancelled_write_bytes"),
    optional_u64("signal_struct", "utime"),
    optional_u64("signal_struct", "stime"),
    optional_u64("signal_struct", "prev_cputime.utime"),
    optional_u64("signal_struct", "prev_cputime.stime"),
    optional_u64("signal_struct", "sum_sched_runtime"),
    optional_u64("signal_struct", "ioac.read_bytes"),
    optional_u64("signal_struct", "ioac.write_bytes"),
    optional_u64("signal_struct", "ioac.cancelled_write_bytes"),
    optional_u64("mm_struct", "locked_vm"),
    optional_pointer("task_struct", "cgroups"),
    optional_pointer("css_set", "dfl_cgrp"),
    optional_pointer("cgroup", "kn"),
    optional_pointer("kernfs_node", "name"),
    // Renamed when it came under RCU (fs/kernfs, v6.15).
    optional_pointer("kernfs_node", "__parent", "parent"),
});
static_assert(kMembers.size() == kNodeParent + 1);

constexpr unsigned kRetries = 4;
constexpr unsigned kDeepest = 256;     // control groups inside each other
constexpr std::size_t kNameMax = 255;  // NAME_MAX

// nullopt: not known, and a sum it is part of is not either.
using Account = std::array<std::optional<std::uint64_t>, kOfOne>;

Account read_account(const MemberReader& read, Gva object, std::size_t first) {
    Account account;
    for (std::size_t i = 0; i < kOfOne; ++i) account[i] = read.number(object, first + i);
    return account;
}

void add(Account& sum, const Account& more) {
    for (const std::size_t i : {kUser, kSystem, kRuntime, kRead, kWritten, kCancelled}) {
        std::uint64_t total = 0;
        if (!sum[i] || !more[i] || __builtin_add_overflow(*sum[i], *more[i], &total)) sum[i] = std::nullopt;
        else sum[i] = total;
    }
}

// cputime_adjust() of kernel/sched/cputime.c: ticks say how the exact run time is shared between user and system;
// neither may go back behind what was said before.
std::optional<CpuTime> adjusted(const Account& of) {
    if (!of[kUser] || !of[kSystem] || !of[kRuntime] || !of[kPreviousUser] || !of[kPreviousSystem]) return std::nullopt;
    const std::uint64_t runtime = *of[kRuntime];
    const CpuTime previous{*of[kPreviousUser], *of[kPreviousSystem]};
    std::uint64_t said = 0, ticks = 0;
    if (__builtin_add_overflow(previous.user, previous.system, &said)) return std::nullopt;
    if (__builtin_add_overflow(*of[kUser], *of[kSystem], &ticks)) return std::nullopt;
    if (said >= runtime) return previous;
    std::uint64_t system = 0;
    if (*of[kSystem] != 0) {
        __extension__ using Wide = unsigned __int128;
        system = *of[kUser] == 0 ? runtime : static_cast<std::uint64_t>(Wide{*of[kSystem]} * runtime / ticks);
    }
    system = std::max(system, previous.system);
    std::uint64_t user = runtime - std::min(system, runtime);
    if (user < previous.user) {
        user = previous.user;
        system = runtime - std::min(user, runtime);
    }
    return CpuTime{user, system};
}

}  // namespace

const NeedGroup kUsageMembers{"what processes used", kMembers};

ProcessTotals ProcessUsage::totals(Gva signal, WalkBudget budget) const {
    const MemberReader read(guest_.space(), members_);
    const TaskList list(guest_.space(), *guest_.proven().symbols.get(SymbolId::init_task), guest_.layout());
    for (unsigned attempt = 0;; ++attempt) {
        Account sum = read_account(read, signal, kOfSignal);
        const WalkReport report = list.for_each_thread(signal, budget, [&](const TaskKey& task) {
            add(sum, read_account(read, task.address, kOfTask));
            return true;
        });
        if (report.end == WalkEnd::complete) {
            ProcessTotals totals{adjusted(sum), sum[kRead], std::nullopt};
            std::int64_t written = 0;
            if (sum[kWritten] && sum[kCancelled] && !__builtin_sub_overflow(*sum[kWritten], *sum[kCancelled], &written))
                totals.bytes_written = written;
            return totals;
        }
        if (attempt == kRetries || !guest_.machine().is_live() || report.end == WalkEnd::budget) return {};
        guest_.new_generation();
    }
}

std::optional<std::uint64_t> ProcessUsage::locked_pages(Gva mm) const {
    return MemberReader(guest_.space(), members_).number(mm, kLocked);
}

std::optional<std::string> ProcessUsage::control_group(Gva task) const {
    const MemberReader read(guest_.space(), members_);
    const auto set = read.target(task, kCssSet);
    const auto group = set ? read.target(*set, kDefaultGroup) : std::nullopt;
    auto node = group ? read.target(*group, kNode) : std::nullopt;
    std::string path;
    for (unsigned depth = 0; node && depth < kDeepest; ++depth) {
        const auto parent = read.pointer(*node, kNodeParent);
        if (!parent) return std::nullopt;
        if (parent->is_null()) return path.empty() ? "/" : path;
        const auto name = read.target(*node, kNodeName);
        const auto text = name ? guest_.space().read_c_string(*name, kNameMax + 1) : Result<GuestString>(Error{});
        if (!text || text->truncated) return std::nullopt;
        path.insert(0, "/" + text->bytes);
        node = *parent;
    }
    return std::nullopt;
}

}  // namespace vitrine::linux_os
