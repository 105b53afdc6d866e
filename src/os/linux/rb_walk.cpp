#include "os/linux/rb_walk.h"

#include <array>
#include <optional>
#include <vector>

#include "os/linux/member_reader.h"

namespace vitrine::linux_os {
namespace {

enum : std::size_t { kRoot, kParentColor, kLeft, kRight };

constexpr auto kMembers = std::to_array<MemberNeed>({
    {"rb_root", {"rb_node"}, MemberShape::pointer},
    {"rb_node", {"__rb_parent_color"}, MemberShape::u64},
    {"rb_node", {"rb_left"}, MemberShape::pointer},
    {"rb_node", {"rb_right"}, MemberShape::pointer},
});

// The longest path of a red-black tree is at most twice the shortest, which has at most 64 nodes.
constexpr std::size_t kDeepest = 128;

}  // namespace

constinit const NeedGroup kRbNeeds{"red-black trees", kMembers};

WalkReport walk_rb_tree(const AddressSpace& space, const Members& members, Gva root, WalkBudget budget,
                        FunctionRef<bool(Gva node)> visit) {
    const MemberReader read(space, members);
    WalkReport report;
    Deadline deadline(budget.time);
    const auto ended = [&](WalkEnd end, Gva where) {
        report.end = end;
        report.last_address = where.value;
        return report;
    };
    // What is above the node at hand and comes after it.
    std::vector<Gva> waiting;
    // Goes down to the smallest node below `from`, which hangs on `parent`.
    const auto descend = [&](Gva from, Gva parent) -> std::optional<WalkEnd> {
        constexpr std::uint64_t kColor = 3;
        while (!from.is_null()) {
            const auto link = read.number(from, kParentColor);
            const auto left = read.pointer(from, kLeft);
            if (!link || !left) return WalkEnd::fault;
            if ((*link & ~kColor) != parent.value || waiting.size() >= kDeepest) return WalkEnd::inconsistent;
            waiting.push_back(from);
            parent = from;
            from = *left;
        }
        return std::nullopt;
    };
    const auto top = read.pointer(root, kRoot);
    if (!top) return ended(WalkEnd::fault, root);
    if (const auto end = descend(*top, Gva{})) return ended(*end, waiting.empty() ? *top : waiting.back());
    while (!waiting.empty()) {
        const Gva node = waiting.back();
        waiting.pop_back();
        if (report.nodes >= budget.nodes || deadline.passed()) return ended(WalkEnd::budget, node);
        ++report.nodes;
        if (!visit(node)) return ended(WalkEnd::stopped, node);
        const auto left = read.pointer(node, kLeft);
        const auto right = read.pointer(node, kRight);
        if (!left || !right) return ended(WalkEnd::fault, node);
        if (*left == *right && !left->is_null()) return ended(WalkEnd::inconsistent, node);
        if (const auto end = descend(*right, node)) return ended(*end, waiting.empty() ? node : waiting.back());
    }
    return report;
}

}  // namespace vitrine::linux_os
