#include "query/tree.h"

#include <algorithm>
#include <unordered_map>

namespace vitrine::cli {
namespace {

class Arranger {
public:
    explicit Arranger(std::span<const TreeProcess> processes)
        : processes_(processes), visited_(processes.size(), false) {
        for (std::size_t i = 0; i < processes.size(); ++i) by_pid_.try_emplace(processes[i].pid, i);
        children_.resize(processes.size());
        for (std::size_t i = 0; i < processes.size(); ++i) {
            const auto parent = by_pid_.find(processes[i].parent);
            const bool own_parent = parent != by_pid_.end() && parent->second == i;
            if (processes[i].parent == 0 || own_parent) roots_.push_back(i);
            else if (parent == by_pid_.end()) orphans_.push_back(i);
            else children_[parent->second].push_back(i);
        }
        for (auto& children : children_) by_rising_pid(children);
    }

    std::vector<TreeNode> run() {
        add_roots(roots_, TreePlace::normal);
        add_roots(orphans_, TreePlace::orphan);
        // What no root reaches hangs below a loop. Entered at the loop itself, not at a branch of it, so that branches
        // are drawn below it.
        std::vector<std::size_t> rest(processes_.size());
        for (std::size_t i = 0; i < rest.size(); ++i) rest[i] = i;
        by_rising_pid(rest);
        for (const std::size_t i : rest) {
            if (!visited_[i]) add_subtree(loop_entry(i), TreePlace::in_loop, true);
        }
        return std::move(nodes_);
    }

private:
    void by_rising_pid(std::vector<std::size_t>& list) const {
        std::stable_sort(list.begin(), list.end(),
                         [&](std::size_t a, std::size_t b) { return processes_[a].pid < processes_[b].pid; });
    }

    void add_roots(std::vector<std::size_t>& roots, TreePlace place) {
        by_rising_pid(roots);
        for (std::size_t i = 0; i < roots.size(); ++i) add_subtree(roots[i], place, i + 1 == roots.size());
    }

    // A member of the loop that the chain of parents from i runs into; the one with the lowest pid.
    [[nodiscard]] std::size_t loop_entry(std::size_t i) const {
        std::size_t slow = i;
        std::size_t fast = i;
        do {  // every chain here ends in a loop, so the two meet
            slow = parent_of(slow);
            fast = parent_of(parent_of(fast));
        } while (slow != fast);
        std::size_t lowest = slow;
        for (std::size_t at = parent_of(slow); at != slow; at = parent_of(at)) {
            if (processes_[at].pid < processes_[lowest].pid) lowest = at;
        }
        return lowest;
    }
    [[nodiscard]] std::size_t parent_of(std::size_t i) const { return by_pid_.find(processes_[i].parent)->second; }

    // No recursion: a chain of parents is as long as the guest likes.
    void add_subtree(std::size_t root, TreePlace place, bool last) {
        std::vector<TreeNode> stack{{root, 0, last, place}};
        while (!stack.empty()) {
            const TreeNode node = stack.back();
            stack.pop_back();
            if (visited_[node.index]) continue;  // the root of a loop, met again from below
            visited_[node.index] = true;
            nodes_.push_back(node);
            const auto& children = children_[node.index];
            for (std::size_t k = children.size(); k-- > 0;) {
                if (!visited_[children[k]]) stack.push_back({children[k], node.depth + 1, false, place});
            }
            mark_last(stack, node.depth + 1);
        }
    }

    // The children were pushed last first: the deepest of them in the stack is the last one drawn.
    static void mark_last(std::vector<TreeNode>& stack, std::size_t depth) {
        std::size_t at = stack.size();
        while (at > 0 && stack[at - 1].depth == depth) --at;
        if (at < stack.size()) stack[at].last = true;
    }

    std::span<const TreeProcess> processes_;
    std::unordered_map<std::int64_t, std::size_t> by_pid_;
    std::vector<std::vector<std::size_t>> children_;
    std::vector<std::size_t> roots_, orphans_;
    std::vector<bool> visited_;
    std::vector<TreeNode> nodes_;
};

}  // namespace

std::vector<TreeNode> arrange_tree(std::span<const TreeProcess> processes) { return Arranger(processes).run(); }

}  // namespace vitrine::cli
