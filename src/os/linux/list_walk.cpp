#include "os/linux/list_walk.h"

#include <array>

namespace vitrine::linux_os {

WalkReport walk_list(const AddressSpace& space, Gva head, WalkBudget budget, FunctionRef<bool(Gva node)> visit) {
    WalkReport report;
    Deadline deadline(budget.time);
    const auto ended = [&](WalkEnd end, Gva where) {
        report.end = end;
        report.last_address = where.value;
        return report;
    };
    std::array<std::byte, 16> links;
    if (!space.read(head, links)) return ended(WalkEnd::fault, head);
    Gva at{load<std::uint64_t>(links.data())};
    const Gva last{load<std::uint64_t>(links.data() + 8)};
    Gva previous = head;
    Gva tortoise = head;
    std::size_t steps = 0;
    std::size_t limit = 2;
    while (at != head) {
        if (report.nodes >= budget.nodes || deadline.passed()) return ended(WalkEnd::budget, at);
        if (at == tortoise) return ended(WalkEnd::cycle, at);
        if (++steps == limit) {
            steps = 0;
            limit *= 2;
            tortoise = at;
        }
        if (!space.read(at, links)) return ended(WalkEnd::fault, at);
        if (Gva{load<std::uint64_t>(links.data() + 8)} != previous) return ended(WalkEnd::inconsistent, at);
        ++report.nodes;
        if (!visit(at)) return ended(WalkEnd::stopped, at);
        previous = at;
        at = Gva{load<std::uint64_t>(links.data())};
    }
    // The last one may have been taken out of the way forth only: the head's way back still leads to it.
    if (previous != last) return ended(WalkEnd::inconsistent, head);
    return report;
}

}  // namespace vitrine::linux_os
