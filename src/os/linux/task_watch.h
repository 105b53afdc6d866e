// Tells a task that ended since a list was read from one that only looks so. A rootkit need not unlink a process to hide it from a reader
// that skips what seems to have ended: a count of threads set to zero would do. So only a task that is off its list may be left out.
//
//   TaskWatch watch(guest, snapshot.tasks, FieldId::task_tasks);
//   if (watch.runs() && watch.is_off_list(key)) continue;
#pragma once

#include <optional>
#include <unordered_map>
#include <vector>

#include "os/linux/layout.h"
#include "os/linux/task_view.h"
#include "vitrine/guest/linux_guest.h"
#include "vitrine/memory/address_space.h"

namespace vitrine::linux_os {

class TaskWatch {
public:
    static constexpr unsigned kAttempts = 4;

    // `link` is the member that links the list which `tasks` were read from. Guest and tasks outlive the watch.
    TaskWatch(const LinuxGuest& guest, const std::vector<TaskKey>& tasks, FieldId link);

    // False for an image, in which nothing ends.
    [[nodiscard]] bool runs() const { return fresh_.has_value(); }
    // Does what was followed from this copy still belong to the task? Precondition: runs().
    [[nodiscard]] bool holds(const TaskKey& key, const TaskView& task) const {
        return task.still_holds(*fresh_, key.address);
    }
    // Does no neighbour point at the task any more? False when that cannot be told. Precondition: runs().
    [[nodiscard]] bool is_off_list(const TaskKey& key) const;
    // Forgets cached pages and takes the task's ids anew, after a moment if it seems to be ending just now. False: its memory was used again
    // for a task that the list has in another place, or not yet. Precondition: runs().
    [[nodiscard]] bool look_again(TaskKey& key, bool ending);

private:
    [[nodiscard]] bool is_listed_twice(Gva task);

    const LinuxGuest& guest_;
    const std::vector<TaskKey>& tasks_;
    FieldId link_;
    std::optional<AddressSpace> fresh_;  // past all caches
    std::unordered_map<std::uint64_t, unsigned> times_listed_;
    unsigned waited_ = 0;
};

}  // namespace vitrine::linux_os
