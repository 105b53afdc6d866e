#include "os/linux/task_watch.h"

#include <array>
#include <chrono>
#include <thread>

#include "os/linux/find/prove.h"
#include "os/linux/past_caches.h"
#include "os/linux/task_list.h"

namespace vitrine::linux_os {
namespace {

// release_task() (kernel/exit.c) unlinks a task microseconds after it uncounts it, or milliseconds, if the host took
// the vCPU away just then.
constexpr std::chrono::microseconds kMoment{500};
constexpr unsigned kAttempts = 4;
constexpr unsigned kMostWaits = 40;  // of one table: a hostile guest can make each task worth waiting for

}  // namespace

TaskWatch::TaskWatch(const LinuxGuest& guest, const std::vector<TaskKey>& tasks, FieldId link)
    : guest_(guest), tasks_(tasks), link_(link), fresh_(past_caches(guest)) {}

TaskWatch::Outcome TaskWatch::read(TaskKey& key, FunctionRef<Look(const TaskView*)> look) {
    for (unsigned attempt = 1;; ++attempt) {
        const auto task = TaskView::read(guest_, key);
        const Look seen = look(task ? &*task : nullptr);
        if (!runs()) return Outcome::holds;
        const bool ended = !task || seen.ended || task->is_released();
        // Does what was followed from this copy still belong to the task?
        if (!ended && task->still_holds(*fresh_, key.address)) return Outcome::holds;
        if (ended && is_off_list(key)) return Outcome::gone;
        if (seen.last || attempt == kAttempts) return ended ? Outcome::seems_ended : Outcome::changing;
        if (!look_again(key, ended)) return Outcome::gone;
    }
}

// A task that was taken off by list_del_rcu() keeps its own links for those who stand on it; its neighbours' links are what counts.
bool TaskWatch::is_off_list(const TaskKey& key) const {
    const auto offset = guest_.layout().offset(link_);
    if (!offset) return false;
    const Gva link = key.address.wrap_plus(*offset);
    std::array<std::byte, 16> links;
    if (!fresh_->read(link, links)) return false;
    const Gva next{load<std::uint64_t>(links.data())};
    const Gva previous{load<std::uint64_t>(links.data() + 8)};
    const auto back = fresh_->read_pointer(next.wrap_plus(8));
    const auto forth = fresh_->read_pointer(previous);
    return !(back && *back == link) && !(forth && *forth == link);
}

bool TaskWatch::look_again(TaskKey& key, bool ending) {
    if (ending && waited_ < kMostWaits) {
        ++waited_;
        std::this_thread::sleep_for(kMoment);
    }
    guest_.new_generation();
    const TaskList list(*fresh_, *guest_.proven().symbols.get(SymbolId::init_task), guest_.layout());
    const auto now = list.read_key(key.address);
    if (!now || (now->pid == key.pid && now->tgid == key.tgid)) return true;
    key = *now;
    // A task that is being made has its parent's ids for a while (copy_process(), kernel/fork.c), and is on no list yet.
    return !is_listed_twice(key.address) && !is_off_list(key);
}

bool TaskWatch::is_listed_twice(Gva task) {
    if (times_listed_.empty()) {
        for (const TaskKey& key : tasks_) ++times_listed_[key.address.value];
    }
    const auto found = times_listed_.find(task.value);
    return found != times_listed_.end() && found->second > 1;
}

}  // namespace vitrine::linux_os
