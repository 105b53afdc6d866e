// A forest from a list of (pid, parent) that a hostile guest may have made: parents that are not there, loops of parents, one
// pid twice. Every process is in it exactly once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vitrine::cli {

struct TreeProcess {
    std::int64_t pid = 0;
    std::int64_t parent = 0;
};

enum class TreePlace : std::uint8_t {
    normal,   // below its parent, or a root: its parent is 0 or unknown
    orphan,   // the parent is not in the list
    in_loop,  // the chain of parents never ends; the first of its loop stands as a root
};

struct TreeNode {
    std::size_t index = 0;  // into the list
    std::size_t depth = 0;
    bool last = true;  // of its parent's children
    TreePlace place = TreePlace::normal;
};

// In the order of drawing: each process before its children, siblings by pid. Normal roots first, then orphans, then loops.
[[nodiscard]] std::vector<TreeNode> arrange_tree(std::span<const TreeProcess> processes);

}  // namespace vitrine::cli
