// The walk behind every table whose rows belong to tasks.
#pragma once

#include "vitrine/base/function_ref.h"
#include "vitrine/guest/linux_guest.h"

namespace vitrine::tables {

// Each task of the list while there is time: what is read of one may be as dear as its bounds allow. `visit` returns
// false to stop.
inline WalkReport for_each_task(const TaskSnapshot& snapshot, Deadline& deadline,
                                FunctionRef<bool(const TaskKey&)> visit) {
    WalkReport report = snapshot.report;
    for (const TaskKey& key : snapshot.tasks) {
        if (deadline.passed_now()) {
            report.end = WalkEnd::budget;
            break;
        }
        if (!visit(key)) {
            report.end = WalkEnd::stopped;
            break;
        }
    }
    return report;
}

}  // namespace vitrine::tables
