#include "os/linux/task_list.h"

#include <algorithm>
#include <cstring>

namespace vitrine::linux_os {

struct TaskList::Node {
    Gva next, prev;
    TaskKey key;
};

namespace {

// Pieces of a task_struct no further apart than this are read as one.
constexpr std::uint32_t kOneRead = 4096;

}  // namespace

TaskList::TaskList(const AddressSpace& space, Gva init_task, const Layout& layout)
    : space_(space), init_task_(init_task), layout_(layout) {}

Result<void> TaskList::read_node(Gva link, std::uint32_t link_offset, Node& node) const {
    const Gva task = link.wrap_minus(link_offset);
    const std::uint32_t pid = layout_.at(FieldId::task_pid);
    const std::uint32_t tgid = layout_.at(FieldId::task_tgid);
    const std::uint32_t comm = layout_.at(FieldId::task_comm);
    const std::uint32_t first = std::min({link_offset, pid, tgid, comm});
    const std::uint32_t last = std::max({link_offset + 16, pid + 4, tgid + 4, comm + 16});
    node.key.address = task;
    if (last - first <= kOneRead) {
        std::array<std::byte, kOneRead> bytes;
        VITRINE_CHECK(space_.read(task.wrap_plus(first), std::span(bytes).first(last - first)));
        const std::byte* base = bytes.data();
        node.next = Gva{load<std::uint64_t>(base + (link_offset - first))};
        node.prev = Gva{load<std::uint64_t>(base + (link_offset - first) + 8)};
        node.key.pid = load<std::int32_t>(base + (pid - first));
        node.key.tgid = load<std::int32_t>(base + (tgid - first));
        std::memcpy(node.key.comm.data(), base + (comm - first), node.key.comm.size());
        return {};
    }
    std::array<std::byte, 16> links;
    std::array<std::byte, 4> pid_bytes, tgid_bytes;
    std::array<VirtualReadOp, 4> ops{
        VirtualReadOp{link, links}, VirtualReadOp{task.wrap_plus(pid), pid_bytes},
        VirtualReadOp{task.wrap_plus(tgid), tgid_bytes},
        VirtualReadOp{task.wrap_plus(comm), std::as_writable_bytes(std::span(node.key.comm))}};
    VITRINE_CHECK(space_.read_batch(ops));
    for (const VirtualReadOp& op : ops) {
        if (!op.ok) return Error::make_at(op.status, Origin::guest, op.address.value, "task");
    }
    node.next = Gva{load<std::uint64_t>(links.data())};
    node.prev = Gva{load<std::uint64_t>(links.data() + 8)};
    node.key.pid = load<std::int32_t>(pid_bytes.data());
    node.key.tgid = load<std::int32_t>(tgid_bytes.data());
    return {};
}

WalkReport TaskList::walk(Gva head, std::uint32_t link_offset, WalkBudget budget,
                          FunctionRef<bool(const TaskKey&)> visit) const {
    WalkReport report;
    Deadline deadline(budget.time);
    const auto ended = [&](WalkEnd end, Gva where) {
        report.end = end;
        report.last_address = where.value;
        return report;
    };
    std::array<std::byte, 16> head_links;
    if (!space_.read(head, head_links)) return ended(WalkEnd::fault, head);
    const Gva last{load<std::uint64_t>(head_links.data() + 8)};
    Gva previous = head;
    Gva at{load<std::uint64_t>(head_links.data())};
    // Brent's algorithm: `tortoise` stays at a node while `at` goes on for twice as many steps as before. The back-links alone
    // would let a list through that returns to its own middle with forged links.
    Gva tortoise = head;
    std::size_t steps = 0;
    std::size_t limit = 2;
    Node node;
    while (at != head) {
        if (report.nodes >= budget.nodes || deadline.passed()) return ended(WalkEnd::budget, at);
        if (at == tortoise) return ended(WalkEnd::cycle, at);
        if (++steps == limit) {
            steps = 0;
            limit *= 2;
            tortoise = at;
        }
        if (!read_node(at, link_offset, node)) return ended(WalkEnd::fault, at);
        if (node.prev != previous) return ended(node.next == at ? WalkEnd::cycle : WalkEnd::inconsistent, at);
        ++report.nodes;
        if (!visit(node.key)) return ended(WalkEnd::stopped, at);
        previous = at;
        at = node.next;
    }
    if (previous != last) return ended(WalkEnd::inconsistent, head);
    return report;
}

WalkReport TaskList::for_each(WalkBudget budget, FunctionRef<bool(const TaskKey&)> visit) const {
    const std::uint32_t link = layout_.at(FieldId::task_tasks);
    return walk(init_task_.wrap_plus(link), link, budget, visit);
}

WalkReport TaskList::for_each_thread(Gva signal, WalkBudget budget, FunctionRef<bool(const TaskKey&)> visit) const {
    WalkReport none;
    none.end = WalkEnd::fault;
    none.last_address = signal.value;
    const auto head = layout_.offset(FieldId::signal_thread_head);
    const auto link = layout_.offset(FieldId::task_thread_node);
    if (!head || !link || signal.is_null()) return none;
    return walk(signal.wrap_plus(*head), *link, budget, visit);
}

Result<TaskKey> TaskList::read_key(Gva task) const {
    Node node;
    const std::uint32_t link = layout_.at(FieldId::task_tasks);
    VITRINE_CHECK(read_node(task.wrap_plus(link), link, node));
    return node.key;
}

bool TaskList::is_linked(Gva task) const {
    const Gva link = task.wrap_plus(layout_.at(FieldId::task_tasks));
    const auto next = space_.read_pointer(link);
    const auto previous = space_.read_pointer(link.wrap_plus(8));
    if (!next || !previous || *next == link || *previous == link) return false;
    const auto back = space_.read_pointer(next->wrap_plus(8));
    const auto forth = space_.read_pointer(*previous);
    return back && forth && *back == link && *forth == link;
}

}  // namespace vitrine::linux_os
