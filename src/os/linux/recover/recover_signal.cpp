// Threads of a process, and its ids: struct signal_struct, struct pid.
#include <fmt/format.h>

#include "os/linux/recover/recovery.h"

namespace vitrine::linux_os {
namespace {

constexpr std::uint32_t kSignalSpan = 1024;
constexpr std::uint32_t kPidSpan = 256;
constexpr std::size_t kMaxThreads = 1u << 16;
constexpr std::uint32_t kMaxLevel = 32;  // MAX_PID_NS_LEVEL
constexpr std::uint32_t kMaxPid = 1u << 22;

struct ThreadCount {
    Gva signal;
    std::uint32_t threads = 0;
};

// init_signals.thread_head and init_task.thread_node are initialised to each other.
std::optional<std::pair<std::uint32_t, std::uint32_t>> thread_list(const Recovery& r, const Images& kernel) {
    const Images& t = r.tasks;
    std::optional<std::pair<std::uint32_t, std::uint32_t>> found;
    for (std::uint32_t head = 0; head + 16 <= kernel.span(); head += 8) {
        const std::uint64_t node = kernel.u64(0, head);
        if (node != kernel.u64(0, head + 8) || node < t.address(0).value) continue;
        const std::uint64_t link = node - t.address(0).value;
        if (link + 16 > t.span() || link % 8 != 0) continue;
        const auto at = static_cast<std::uint32_t>(link);
        const std::uint64_t back = kernel.address(0).value + head;
        if (t.u64(0, at) != back || t.u64(0, at + 8) != back) continue;
        if (found) return std::nullopt;
        found = {at, head};
    }
    return found;
}

// The threads of one process; nullopt when the list does not come round, or leads to another process's task.
std::optional<std::uint32_t> count_threads(const Recovery& r, std::size_t task, std::uint32_t link, std::uint32_t head,
                                           std::size_t& left) {
    const Gva start = r.tasks.pointer(task, r.layout.at(FieldId::task_signal)).wrap_plus(head);
    const std::uint32_t tgid = r.tasks.u32(task, r.layout.at(FieldId::task_tgid));
    std::uint32_t threads = 0;
    Gva previous = start;
    auto at = r.space.read_pointer(start);
    while (at && *at != start) {
        const Gva thread = at->wrap_minus(link);
        const auto its_pid = r.space.read_value<std::uint32_t>(thread.wrap_plus(r.layout.at(FieldId::task_pid)));
        const auto its_tgid = r.space.read_value<std::uint32_t>(thread.wrap_plus(r.layout.at(FieldId::task_tgid)));
        const auto back = r.space.read_pointer(at->wrap_plus(8));
        if (left == 0 || !its_pid || !its_tgid || *its_tgid != tgid || !back || *back != previous) return std::nullopt;
        if ((*its_pid == tgid) != (thread == r.tasks.address(task)))
            return std::nullopt;  // only the leader's pid is the tgid
        --left;
        ++threads;
        previous = *at;
        at = r.space.read_pointer(*at);
    }
    if (!at || threads == 0) return std::nullopt;
    return threads;
}

void recover_thread_count(Recovery& r, const std::vector<ThreadCount>& counts) {
    std::vector<Gva> addresses;
    for (const ThreadCount& c : counts) addresses.push_back(c.signal);
    const Images signals(r.space, addresses, kSignalSpan);
    if (signals.count() != counts.size()) return;
    // sigcnt, live, nr_threads follow each other (include/linux/sched/signal.h). The use count sigcnt is mostly the same number;
    // live is less where a thread has ended and still is in the list.
    const auto places = signals.where(
        4, 4, [&](std::size_t i, std::uint32_t o) { return signals.u32(i, o) == counts[i].threads; });
    if (places.size() != 2 || places[1] != places[0] + 8) return;
    for (std::size_t i = 0; i < signals.count(); ++i) {
        if (signals.u32(i, places[0] + 4) > counts[i].threads) return;
    }
    r.found_by_order(
        FieldId::signal_nr_threads, places[1], 4,
        "the later of two words that hold the length of each process's list of threads, those alive between");
}

// pids[PIDTYPE_MAX]: all of init_signals' are init_struct_pid, [PIDTYPE_TGID] of each process is the leader's thread_pid.
void recover_group_ids(Recovery& r, const Images& kernel) {
    const auto idle = r.symbol(SymbolId::init_struct_pid);
    const auto thread_pid = r.offset(FieldId::task_thread_pid);
    if (!idle || !thread_pid) return;
    const std::uint32_t signal = r.layout.at(FieldId::task_signal);
    std::vector<std::uint32_t> places = kernel.where(8, 32, [&](std::size_t, std::uint32_t at) {
        for (std::uint32_t i = 0; i < 4; ++i) {
            if (kernel.u64(0, at + 8 * i) != idle->value) return false;
        }
        return true;
    });
    std::erase_if(places, [&](std::uint32_t at) {
        for (std::size_t i = 1; i < r.tasks.count(); ++i) {
            std::array<std::byte, 32> pids;
            if (!r.space.read(r.tasks.pointer(i, signal).wrap_plus(at), pids)) return true;
            if (load<std::uint64_t>(pids.data() + 8) != r.tasks.u64(i, *thread_pid)) return true;
            if (!r.is_kernel_pointer(load<std::uint64_t>(pids.data() + 16)) ||
                !r.is_kernel_pointer(load<std::uint64_t>(pids.data() + 24)))
                return true;
        }
        return false;
    });
    const auto at = only(places);
    if (!at) return;
    constexpr std::string_view kWhy =
        "pids[]: four times &init_struct_pid in init_signals, the second each leader's thread_pid";
    r.found(FieldId::signal_pgid, *at + 16, 8, kWhy);
    r.found(FieldId::signal_sid, *at + 24, 8, kWhy);
}

}  // namespace

void recover_signal(Recovery& r) {
    const auto init_signals = r.symbol(SymbolId::init_signals);
    if (!init_signals || !r.layout.has(FieldId::task_signal) || !r.layout.has(FieldId::task_tgid)) return;
    const Images kernel(r.space, std::span(&*init_signals, 1), kSignalSpan);
    if (kernel.count() != 1) return;
    if (const auto list = thread_list(r, kernel)) {
        std::vector<ThreadCount> counts;
        std::size_t left = kMaxThreads;
        bool agrees = true;
        for (std::size_t i = 1; agrees && i < r.tasks.count(); ++i) {
            const auto threads = count_threads(r, i, list->first, list->second, left);
            agrees = threads.has_value();
            if (agrees) counts.push_back({r.tasks.pointer(i, r.layout.at(FieldId::task_signal)), *threads});
        }
        if (agrees) {
            r.found(FieldId::task_thread_node, list->first, 16,
                    "init_task and init_signals point to each other there; leads to tasks of the same tgid");
            r.found(FieldId::signal_thread_head, list->second, 16, "the head of those lists");
            recover_thread_count(r, counts);
        }
    }
    recover_group_ids(r, kernel);
}

// struct pid ends in numbers[level + 1]: {nr, namespace}, the first of the initial namespace.
void recover_pid(Recovery& r) {
    const auto idle = r.symbol(SymbolId::init_struct_pid);
    const auto space = r.symbol(SymbolId::init_pid_ns);
    const auto thread_pid = r.offset(FieldId::task_thread_pid);
    if (!idle || !space || !thread_pid || !r.layout.has(FieldId::task_pid)) return;
    std::vector<Gva> addresses;
    std::vector<std::uint32_t> ids;
    for (std::size_t i = 0; i < r.tasks.count(); ++i) {
        addresses.push_back(r.tasks.pointer(i, *thread_pid));
        ids.push_back(r.tasks.u32(i, r.layout.at(FieldId::task_pid)));
    }
    const Images pids(r.space, addresses, kPidSpan);
    if (pids.count() != ids.size()) return;
    const auto numbers = only(pids.where(8, 16, [&](std::size_t i, std::uint32_t at) {
        return pids.u32(i, at) == ids[i] && pids.u64(i, at + 8) == space->value;
    }));
    if (!numbers) return;
    r.found(FieldId::pid_numbers, *numbers, 0, "each task's pid with the initial pid namespace behind it");
    r.layout.set_struct_size(StructId::upid, 16);
    // The level says how many numbers there are. Told from other words by tasks in namespaces below the initial one.
    std::vector<std::uint32_t> levels = pids.where(4, 4, [&](std::size_t i, std::uint32_t at) {
        if (at >= *numbers) return false;
        const std::uint32_t level = pids.u32(i, at);
        if (i == 0) return level == 0;
        for (std::uint32_t k = 1; k <= level; ++k) {
            const std::uint32_t entry = *numbers + 16 * k;
            if (level > kMaxLevel || entry + 16 > pids.span()) return false;
            if (pids.u32(i, entry) == 0 || pids.u32(i, entry) >= kMaxPid ||
                !r.is_kernel_pointer(pids.u64(i, entry + 8)))
                return false;
        }
        return true;
    });
    std::erase_if(levels, [&](std::uint32_t at) {
        for (std::size_t i = 0; i < pids.count(); ++i) {
            if (pids.u32(i, at) != 0) return false;
        }
        return true;
    });
    if (const auto at = only(levels))
        r.found(FieldId::pid_level, *at, 4, "as many further numbers, each with a namespace");
}

}  // namespace vitrine::linux_os
