#include "os/linux/maple_tree.h"

#include <algorithm>
#include <limits>
#include <span>
#include <unordered_set>

namespace vitrine::linux_os {
namespace {

enum : std::size_t { kRoot, kParent, kRangePivots, kRangeSlots, kAllocPivots, kAllocSlots };

constexpr auto kMembers = std::to_array<MemberNeed>({
    {"maple_tree", {"ma_root"}, MemberShape::pointer},
    {"maple_node", {"parent"}, MemberShape::pointer},
    {"maple_range_64", {"pivot"}, MemberShape::array},
    {"maple_range_64", {"slot"}, MemberShape::array},
    {"maple_arange_64", {"pivot"}, MemberShape::array},
    {"maple_arange_64", {"slot"}, MemberShape::array},
});
constexpr auto kSizes = std::to_array<std::string_view>({"maple_node"});

// include/linux/maple_tree.h: nodes are aligned to 256 bytes; what the lower bits of a pointer to one mean.
constexpr std::uint64_t kNodeMask = 255;
constexpr unsigned kTypeShift = 3;
constexpr std::uint64_t kTypeMask = 15;
constexpr std::uint64_t kRootParent = 1;
// enum maple_type. The allocators' spare nodes (maple_copy, since 7.0) are never linked in.
enum NodeType : std::uint8_t { dense, leaf_64, range_64, arange_64 };
constexpr unsigned kDeepest = 31;  // MAPLE_HEIGHT_MAX
constexpr std::size_t kNodeBytes = 512;
constexpr std::size_t kMostSlots = 64;

// The root is marked as an internal entry (include/linux/xarray.h), of which the first 4096 are no pointers; what a node's slots
// point to is not (mt_mk_node()).
bool is_root_node(std::uint64_t entry) { return (entry & 3) == 2 && entry > 4096; }
bool is_child_node(std::uint64_t slot) { return (slot & 1) == 0 && slot > 4096; }
bool is_own(std::uint64_t entry) { return (entry & 3) != 0; }

}  // namespace

const NeedGroup kMapleTreeMembers{"maple trees", kMembers, kSizes};

class MapleTree::Walk {
public:
    Walk(const MapleTree& tree, WalkBudget budget, Visitor visit)
        : tree_(tree), budget_(budget), deadline_(budget.time), visit_(visit) {}

    WalkReport run() {
        const auto root = tree_.space_.read_pointer(tree_.tree_.wrap_plus(tree_.members_.at(kRoot)));
        constexpr std::uint64_t kLast = std::numeric_limits<std::uint64_t>::max();
        if (!root) {
            ended(WalkEnd::fault, tree_.tree_);
        } else if (is_root_node(root->value)) {
            static_cast<void>(node(root->value, tree_.tree_.value | kRootParent, 0, kLast, 1));
        } else if (!root->is_null() && !is_own(root->value)) {
            static_cast<void>(entry(*root, 0, 0));  // a tree of one entry, at 0
        }
        return report_;
    }

private:
    struct Node {
        std::size_t pivots = 0, slots = 0;
        std::array<std::uint64_t, kMostSlots> pivot{}, slot{};
    };

    bool ended(WalkEnd end, Gva where) {
        report_.end = end;
        report_.last_address = where.value;
        return false;
    }
    bool within_budget(Gva where) {
        if (used_ < budget_.nodes && !deadline_.passed()) return true;
        return ended(WalkEnd::budget, where);
    }

    bool entry(Gva what, std::uint64_t first, std::uint64_t last) {
        if (!within_budget(what)) return false;
        ++used_;
        ++report_.nodes;
        return visit_(what, first, last) || ended(WalkEnd::stopped, what);
    }

    // One read, so that pivots and slots are of one moment. `parent`: what the node must say of its own place.
    bool read_node(Gva at, NodeType type, std::uint64_t parent, Node& to) {
        std::array<std::byte, kNodeBytes> bytes;
        const std::size_t size = tree_.members_.struct_size(0);
        if (size > bytes.size()) return ended(WalkEnd::inconsistent, at);
        if (!tree_.space_.read(at, std::span(bytes).first(size))) return ended(WalkEnd::fault, at);
        const ByteView view(std::span<const std::byte>(bytes).first(size));
        const bool alloc = type == arange_64;
        to.pivots = words(view, alloc ? kAllocPivots : kRangePivots, to.pivot);
        to.slots = words(view, alloc ? kAllocSlots : kRangeSlots, to.slot);
        const auto own = view.u64(tree_.members_.at(kParent));
        // A node that was taken out of the tree is its own parent; another node's kind and slot are in the lower bits.
        const bool is_child = own && ((parent & kRootParent) != 0 ? *own == parent : (*own & ~kNodeMask) == parent);
        return (is_child && to.slots != 0) || ended(WalkEnd::inconsistent, at);
    }
    [[nodiscard]] std::size_t words(const ByteView& view, std::size_t member, std::span<std::uint64_t> to) const {
        const MemberSlot& slot = tree_.members_.slot(member);
        const std::size_t count = std::min<std::size_t>(slot.size / 8, to.size());
        for (std::size_t i = 0; i < count; ++i) {
            const auto word = view.u64(slot.offset + 8 * i);
            if (!word) return i;
            to[i] = *word;
        }
        return count;
    }

    bool node(std::uint64_t encoded, std::uint64_t parent, std::uint64_t first, std::uint64_t last, unsigned depth) {
        const Gva at{encoded & ~kNodeMask};
        const auto type = static_cast<NodeType>(encoded >> kTypeShift & kTypeMask);
        if (!within_budget(at)) return false;
        ++used_;
        if (depth > kDeepest || type == dense || type > arange_64) return ended(WalkEnd::inconsistent, at);
        if (!visited_.insert(at.value).second) return ended(WalkEnd::cycle, at);
        Node here;
        if (!read_node(at, type, parent, here)) return false;
        for (std::size_t i = 0; i < here.slots; ++i) {
            // A pivot of 0, and the end of the array, mean that the slot is the last one and goes to the end of the node's range.
            const std::uint64_t pivot = i < here.pivots ? here.pivot[i] : last;
            const std::uint64_t to = pivot == 0 && i > 0 ? last : pivot;
            if (to < first || to > last) return ended(WalkEnd::inconsistent, at);
            if (!slot(here.slot[i], type == leaf_64, at, first, to, depth)) return false;
            if (to == last) return true;
            first = to + 1;
        }
        return ended(WalkEnd::inconsistent, at);  // the slots end before the range does
    }

    bool slot(std::uint64_t content, bool leaf, Gva parent, std::uint64_t first, std::uint64_t last, unsigned depth) {
        if (!leaf) {
            if (!is_child_node(content)) return ended(WalkEnd::inconsistent, parent);
            return node(content, parent.value, first, last, depth + 1);
        }
        if (content == 0 || is_own(content)) return true;
        return entry(Gva{content}, first, last);
    }

    const MapleTree& tree_;
    WalkBudget budget_;
    Deadline deadline_;
    Visitor visit_;
    WalkReport report_;
    std::size_t used_ = 0;
    std::unordered_set<std::uint64_t> visited_;
};

WalkReport MapleTree::for_each(WalkBudget budget, Visitor visit) const { return Walk(*this, budget, visit).run(); }

}  // namespace vitrine::linux_os
