// The kernel's maple tree (lib/maple_tree.c): ranges of numbers, each with what it holds. It keeps the mappings of a process since Linux
// commit d4af56c5c7c6 "mm: start tracking VMAs with maple tree" (v6.1).
//
//   const MapleTree tree(guest.space(), *VITRINE_TRY(guest.members(kMapleTreeMembers)), root);
//   tree.for_each({}, [&](Gva vma, std::uint64_t first, std::uint64_t last) { return true; });
#pragma once

#include <array>
#include <cstdint>

#include "vitrine/base/function_ref.h"
#include "vitrine/base/walk.h"
#include "vitrine/memory/address_space.h"
#include "vitrine/types/member_need.h"

namespace vitrine::linux_os {

extern const NeedGroup kMapleTreeMembers;

class MapleTree {
public:
    // What a range holds, and the range.
    using Visitor = FunctionRef<bool(Gva entry, std::uint64_t first, std::uint64_t last)>;

    // `members`: kMapleTreeMembers resolved; `tree`: of a struct maple_tree. Space and members outlive the tree.
    MapleTree(const AddressSpace& space, const Members& members, Gva tree)
        : space_(space), members_(members), tree_(tree) {}

    // In order; ranges that hold nothing, or something of the tree's own, are passed over. Counts nodes and entries.
    // Ends: inconsistent where a node is of no known kind, is not its parent's child, has ranges that do not rise or
    // leave its parent's, or lies deeper than a tree can be; cycle where a node is met again. Does not retry.
    [[nodiscard]] WalkReport for_each(WalkBudget budget, Visitor visit) const;

private:
    class Walk;
    const AddressSpace& space_;
    const Members& members_;
    Gva tree_;
};

}  // namespace vitrine::linux_os
