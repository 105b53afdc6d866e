// Tells a task that ended since a list was read from one that only looks so. A rootkit need not unlink a process to hide it from a reader
// that skips what seems to have ended: a count of threads set to zero would do. So only a task that is off its list may be left out.
//
//   TaskWatch watch(guest, snapshot.tasks, FieldId::task_tasks);
//   const auto outcome = watch.read(key, [&](const TaskView* task) { ...; return TaskWatch::Look{}; });
//   if (outcome == TaskWatch::Outcome::gone) continue;
#pragma once

#include <optional>
#include <unordered_map>
#include <vector>

#include "os/linux/layout.h"
#include "os/linux/task_view.h"
#include "vitrine/base/function_ref.h"
#include "vitrine/guest/linux_guest.h"
#include "vitrine/memory/address_space.h"

namespace vitrine::linux_os {

class TaskWatch {
public:
    // What one look at a task gave.
    struct Look {
        bool ended = false;  // it seems to have ended, by more than read() sees itself
        bool last = false;   // another look would be of no use
    };
    enum class Outcome {
        holds,       // what was read last is of the task that the list has, or of an image
        gone,        // the task ended, or its memory is used for another one: no row is missing without it
        changing,    // it was another one, or executed another program, each time
        seems_ended  // each time, though it is on its list
    };

    // `link` is the member that links the list which `tasks` were read from. Guest and tasks outlive the watch.
    TaskWatch(const LinuxGuest& guest, const std::vector<TaskKey>& tasks, FieldId link);

    // False for an image, in which nothing ends.
    [[nodiscard]] bool runs() const { return fresh_.has_value(); }
    // Hands the task to `look`, null if its task_struct cannot be read, until what `look` read holds, or it was handed over four times.
    // The key is brought up to date before each time.
    [[nodiscard]] Outcome read(TaskKey& key, FunctionRef<Look(const TaskView*)> look);
    // Does no neighbour point at the task any more? False when that cannot be told. Precondition: runs().
    [[nodiscard]] bool is_off_list(const TaskKey& key) const;

private:
    // Forgets cached pages and takes the task's ids anew, after a moment if it seems to be ending just now. False: its
    // memory was used again for a task that the list has in another place, or not yet. Precondition: runs().
    [[nodiscard]] bool look_again(TaskKey& key, bool ending);
    [[nodiscard]] bool is_listed_twice(Gva task);

    const LinuxGuest& guest_;
    const std::vector<TaskKey>& tasks_;
    FieldId link_;
    std::optional<AddressSpace> fresh_;  // past all caches
    std::unordered_map<std::uint64_t, unsigned> times_listed_;
    unsigned waited_ = 0;
};

}  // namespace vitrine::linux_os
