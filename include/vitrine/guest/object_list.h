// What hangs on a list of the kernel (struct list_head), as typed objects.
//
//   Object idle = VITRINE_TRY(guest->variable("init_task", "task_struct"));
//   WalkReport walk = VITRINE_TRY(for_each_in_list(*guest, VITRINE_TRY(idle.member("tasks")), "task_struct", "tasks", {},
//                                                  [&](const Object& task) { ...; return true; }));
//   if (walk.end != WalkEnd::complete) ...      // a torn or hostile list says so here
#pragma once

#include <string_view>

#include "vitrine/base/function_ref.h"
#include "vitrine/base/walk.h"
#include "vitrine/guest/guest.h"

namespace vitrine {

// Visits, in the list's order, the structures `type` whose member `link` (a path) is on the list: container_of() of
// each node. visit returns false to stop. The back-links must lead where the walk came from, and the budget bounds it.
// The list of a running guest may be torn: the end is then inconsistent or fault; walk again, after new_generation(),
// or pause the machine. Errors: usage (head is no struct list_head in memory), not_found (no such type or member).
Result<WalkReport> for_each_in_list(Guest& guest, const Object& head, std::string_view type, std::string_view link,
                                    WalkBudget budget, FunctionRef<bool(const Object& element)> visit);

}  // namespace vitrine
