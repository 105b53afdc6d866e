// A circular doubly linked list (struct list_head), walked with its back-links checked.
#pragma once

#include "vitrine/base/function_ref.h"
#include "vitrine/base/walk.h"
#include "vitrine/memory/address_space.h"

namespace vitrine::linux_os {

// Visits the address of each list_head but the head's. Ends: complete back at the head; inconsistent where next->prev is not the
// node come from (the head's included); cycle where a node is met again; fault, budget, stopped as their names say. Does not retry.
WalkReport walk_list(const AddressSpace& space, Gva head, WalkBudget budget, FunctionRef<bool(Gva node)> visit);

}  // namespace vitrine::linux_os
