// The structures on a list of the kernel: circular (struct list_head) or with an end (struct hlist_head).
#pragma once

#include <string_view>
#include <vector>

#include "vitrine/base/result.h"
#include "vitrine/base/walk.h"
#include "vitrine/memory/address_space.h"
#include "vitrine/types/object.h"

namespace vitrine::python {

// Those of type `type` whose member `member` is a node of the list that begins at `head` (the head or a pointer to it).
// All or nothing: cycle, inconsistent (a node does not lead back to the one before it), limit, or what could not be
// read. Does not retry.
Result<std::vector<Object>> list_entries(const AddressSpace& space, const Object& head, std::string_view type,
                                         std::string_view member, WalkBudget budget);

}  // namespace vitrine::python
