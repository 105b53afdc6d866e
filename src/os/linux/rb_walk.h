// A red-black tree (struct rb_root), walked in order with its links to the parent checked.
#pragma once

#include "vitrine/base/function_ref.h"
#include "vitrine/base/walk.h"
#include "vitrine/memory/address_space.h"
#include "vitrine/types/member_need.h"

namespace vitrine::linux_os {

extern const NeedGroup kRbNeeds;

// Visits the address of each rb_node. Ends: complete when all were seen; inconsistent where a child does not name the
// node it hangs on as its parent (so that no node can be met twice, and a cycle ends here), or further down to the left
// than a balanced tree can go; fault, budget, stopped as their names say. `members`: kRbNeeds resolved. Does not retry.
WalkReport walk_rb_tree(const AddressSpace& space, const Members& members, Gva root, WalkBudget budget,
                        FunctionRef<bool(Gva node)> visit);

}  // namespace vitrine::linux_os
