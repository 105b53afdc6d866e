// Ids and kinship. Processes are 0 (swapper), 1 and 2 (kthreadd); kernel threads are kthreadd's children.
#include <fmt/format.h>

#include <cstring>
#include <unordered_set>

#include "os/linux/recover/recovery.h"

namespace vitrine::linux_os {
namespace {

constexpr std::uint32_t kMaxPid = 1u << 22;  // PID_MAX_LIMIT
constexpr std::size_t kMaxChildren = 1u << 16;

std::optional<std::size_t> kthreadd(const Recovery& r) {
    const std::uint32_t comm = r.layout.at(FieldId::task_comm);
    for (std::size_t i = 1; i < r.tasks.count(); ++i) {
        const auto* name = reinterpret_cast<const char*>(r.tasks.bytes(i, comm, 16).data());
        if (std::strncmp(name, "kthreadd", 16) == 0) return i;  // the first: its pid is checked to be 2
    }
    return std::nullopt;
}

// Numbers that tell processes apart. In a list of processes pid and tgid are the same, side by side, pid first
// (struct task_struct, include/linux/sched.h); recover_signal() checks by threads which is which.
void recover_ids(Recovery& r, std::size_t kthreadd_index) {
    const Images& t = r.tasks;
    std::vector<std::uint32_t> pairs = t.where(4, 8, [&](std::size_t i, std::uint32_t at) {
        const std::uint32_t id = t.u32(i, at);
        if (id != t.u32(i, at + 4)) return false;
        if (i == 0) return id == 0;
        if (i == 1) return id == 1;
        if (i == kthreadd_index) return id == 2;
        return id > 2 && id < kMaxPid;
    });
    std::erase_if(pairs, [&](std::uint32_t at) {
        std::unordered_set<std::uint32_t> ids;
        for (std::size_t i = 0; i < t.count(); ++i) ids.insert(t.u32(i, at));
        return ids.size() != t.count();
    });
    const auto at = only(pairs);
    if (!at) return;
    r.found_by_order(
        FieldId::task_pid, *at, 4,
        "0, 1 and 2 for swapper, the first process and kthreadd, unique, equal to the next word in each process");
    r.found_by_order(FieldId::task_tgid, *at + 4, 4, "equal to pid in each process");
}

// A task, or a thread of one: those are not in the list, but their tgid is that of a process that is.
bool is_task(const Recovery& r, const std::unordered_set<std::uint32_t>& ids, Gva address) {
    if (r.tasks.contains(address)) return true;
    const auto tgid = r.space.read_value<std::uint32_t>(address.wrap_plus(r.layout.at(FieldId::task_tgid)));
    return tgid && ids.contains(*tgid);
}

// Do the lists at `children` lead, by their links at `sibling`, to tasks whose real_parent is the list's owner?
bool children_agree(const Recovery& r, std::uint32_t parent, std::uint32_t children, std::uint32_t sibling) {
    const Images& t = r.tasks;
    std::size_t walked = 0;
    for (std::size_t i = 0; i < t.count(); ++i) {
        const Gva head = t.address(i).wrap_plus(children);
        Gva at = t.pointer(i, children);
        while (at != head) {
            const auto child = t.index_of(at.wrap_minus(sibling));
            if (!child || t.pointer(*child, parent) != t.address(i) || ++walked > kMaxChildren) return false;
            at = t.pointer(*child, sibling);
        }
    }
    return walked > 1;
}

void recover_parents(Recovery& r, std::size_t kthreadd_index) {
    const Images& t = r.tasks;
    std::unordered_set<std::uint32_t> ids;
    for (std::size_t i = 0; i < t.count(); ++i) ids.insert(t.u32(i, r.layout.at(FieldId::task_tgid)));
    // Both real_parent and parent are like that; they differ in traced processes, where the children's lists decide.
    std::vector<std::uint32_t> parents = t.where(8, 8, [&](std::size_t i, std::uint32_t at) {
        const Gva value = t.pointer(i, at);
        if (i <= 1 || i == kthreadd_index) return value == t.address(0);
        return r.is_kernel_pointer(value.value) && is_task(r, ids, value);
    });
    // real_parent, parent, children, sibling lie in this order in all kernels.
    if (parents.size() != 2 || parents[1] != parents[0] + 8) return;
    const std::uint32_t parent = parents[0];
    const std::uint32_t children = parent + 16;
    const std::uint32_t sibling = parent + 32;
    if (sibling + 16 > t.span()) return;
    r.found_by_order(FieldId::task_real_parent, parent, 8,
                     "swapper for swapper, the first process and kthreadd, a task for every task");
    // The images hold no more than the first tasks of a very large guest; then the lists lead out of them.
    if (!children_agree(r, parent, children, sibling)) return;
    r.found(FieldId::task_children, children, 16, "lists that lead to tasks whose real_parent is the list's owner");
    r.found(FieldId::task_sibling, sibling, 16, "the links of those lists");
}

}  // namespace

void recover_identity(Recovery& r) {
    const Images& t = r.tasks;
    const auto leader = only(
        t.where(8, 8, [&](std::size_t i, std::uint32_t at) { return t.pointer(i, at) == t.address(i); }));
    if (leader) r.found(FieldId::task_group_leader, *leader, 8, "every process points to itself there");
    const auto kthreadd_index = kthreadd(r);
    if (!kthreadd_index) return;
    recover_ids(r, *kthreadd_index);
    if (r.layout.has(FieldId::task_tgid)) recover_parents(r, *kthreadd_index);
}

}  // namespace vitrine::linux_os
