// State, priority, start, stack: told by the values that only these can have.
#include <fmt/format.h>

#include <bit>

#include "os/linux/recover/recovery.h"

namespace vitrine::linux_os {
namespace {

constexpr std::uint32_t kIdleState = 0x402;  // TASK_IDLE: what idle workers are in
constexpr std::uint32_t kInterruptible = 0x1;
constexpr std::uint32_t kStateBits = 0x1ffff;         // include/linux/sched.h
constexpr std::uint64_t kStackSize = 16 * 1024;       // THREAD_SIZE; a multiple of it with KASAN
constexpr std::uint64_t kStackEndMagic = 0x57ac6e9d;  // include/uapi/linux/magic.h
constexpr std::uint64_t kCentury = 100ull * 366 * 86400 * 1'000'000'000;

// Neither kernel threads nor with an address space: they have ended and wait for their parent.
bool has_ended(const Recovery& r, std::size_t i) {
    return r.is_kernel_thread[i] == 0 && r.tasks.u64(i, r.layout.at(FieldId::task_mm)) == 0;
}

void recover_states(Recovery& r) {
    if (r.is_kernel_thread.empty() || !r.layout.has(FieldId::task_mm)) return;
    const Images& t = r.tasks;
    std::vector<std::uint32_t> states = t.where(4, 4, [&](std::size_t i, std::uint32_t at) {
        const std::uint32_t state = t.u32(i, at);
        return (state & ~kStateBits) == 0 && std::popcount(state) <= 4;
    });
    std::erase_if(states, [&](std::uint32_t at) {
        std::size_t idle = 0, sleeping = 0;
        for (std::size_t i = 0; i < t.count(); ++i) {
            idle += r.is_kernel_thread[i] != 0 && t.u32(i, at) == kIdleState ? 1u : 0u;
            sleeping += t.u32(i, at) == kInterruptible ? 1u : 0u;
        }
        return idle == 0 || sleeping == 0;
    });
    if (const auto at = only(states)) {
        r.found(FieldId::task_state, *at, 4, "a task state in every task, TASK_IDLE in kernel threads among them");
    }
    std::vector<std::uint32_t> exits = t.where(4, 4, [&](std::size_t i, std::uint32_t at) {
        const std::uint32_t state = t.u32(i, at);
        return has_ended(r, i) ? state == 0x10 || state == 0x20 : state == 0;  // EXIT_DEAD, EXIT_ZOMBIE
    });
    bool anybody = false;
    for (std::size_t i = 0; i < t.count(); ++i) anybody = anybody || has_ended(r, i);
    const auto at = only(exits);
    if (at && anybody)
        r.found(FieldId::task_exit_state, *at, 4, "EXIT_ZOMBIE in processes that have ended, 0 in all others");
}

// prio, static_prio, normal_prio, rt_priority, in this order. A real-time task's normal priority is 99 - rt_priority, any
// other's is the static one (kernel/sched/core.c, __normal_prio).
void recover_priority(Recovery& r) {
    const Images& t = r.tasks;
    std::vector<std::uint32_t> places = t.where(
        4, 16,
        [&](std::size_t i, std::uint32_t at) {
            const auto prio = static_cast<std::int32_t>(t.u32(i, at));
            const std::uint32_t fixed = t.u32(i, at + 4);
            const auto normal = static_cast<std::int32_t>(t.u32(i, at + 8));
            const std::uint32_t real_time = t.u32(i, at + 12);
            if (i == 0) return fixed == 120;
            if (prio < -1 || prio > 139 || fixed < 100 || fixed > 139 || real_time > 99) return false;
            if (normal == -1) return true;  // deadline
            return real_time != 0 ? normal == 99 - static_cast<std::int32_t>(real_time)
                                  : normal == static_cast<std::int32_t>(fixed);
        },
        0);
    if (const auto at = only(places)) {
        r.found_by_order(FieldId::task_static_prio, *at + 4, 4,
                         "100 to 139 between the effective and the normal priority, which follow from it");
    }
}

// start_time and start_boottime, taken one after the other by each fork: the second is the larger, and the list is in the
// order of forking.
void recover_start(Recovery& r) {
    const Images& t = r.tasks;
    constexpr std::uint64_t kSlack =
        1'000'000'000;  // forks on several processors are not linked in the order of their clocks
    std::vector<std::uint64_t> latest(t.span() / 8);
    std::vector<std::uint32_t> rising = t.where(8, 8, [&](std::size_t i, std::uint32_t at) {
        const std::uint64_t value = t.u64(i, at);
        std::uint64_t& before = latest[at / 8];
        const bool fits = value < kCentury && (i == 0 || value != 0) && value + kSlack >= before;
        before = std::max(before, value);
        return fits;
    });
    std::erase_if(rising, [&](std::uint32_t at) {
        // Numbers of a few milliseconds could be anything; ids are no times. Early in the boot the clock is coarse.
        std::size_t distinct = 1;
        for (std::size_t i = 1; i < t.count(); ++i) distinct += t.u64(i, at) != t.u64(i - 1, at) ? 1u : 0u;
        return t.u64(0, at) >= kSlack || distinct * 2 < t.count() || latest[at / 8] < kSlack ||
               at == (r.layout.at(FieldId::task_pid) & ~7u) || t.u64(t.count() - 1, at) < t.u64(1, at);
    });
    std::optional<std::uint32_t> found;
    for (const std::uint32_t at : rising) {
        if (at + 16 > t.span() || std::find(rising.begin(), rising.end(), at + 8) == rising.end()) continue;
        bool later = true;
        for (std::size_t i = 1; i < t.count(); ++i) later = later && t.u64(i, at + 8) >= t.u64(i, at);
        if (!later) continue;
        if (found) return;
        found = at;
    }
    if (found)
        r.found(FieldId::task_start_boottime, *found + 8, 8,
                "the later of two times that rise along the list, which is in the order of forking");
}

void recover_stack(Recovery& r) {
    const Images& t = r.tasks;
    const auto at = only(t.where(8, 8, [&](std::size_t i, std::uint32_t o) {
        const Gva stack = t.pointer(i, o);
        if (stack.is_null()) return i > 1;  // freed when a task has ended
        if (!r.is_kernel_pointer(stack.value) || stack.offset_in(kStackSize) != 0) return false;
        const auto magic = r.space.read_value<std::uint64_t>(stack);
        return magic && *magic == kStackEndMagic;
    }));
    if (at) r.found(FieldId::task_stack, *at, 8, "every task's points to STACK_END_MAGIC");
}

}  // namespace

void recover_scheduling(Recovery& r) {
    if (!r.layout.has(FieldId::task_pid)) return;
    recover_states(r);
    recover_priority(r);
    recover_start(r);
    recover_stack(r);
}

}  // namespace vitrine::linux_os
