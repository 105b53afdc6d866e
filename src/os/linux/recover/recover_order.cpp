// Some members hold the same value in nearly all objects (pid and tgid, real_cred and cred) and are told apart by which comes
// first. A kernel may be built with its structures' members shuffled (CONFIG_RANDSTRUCT): whether it was is judged by
// those members of task_struct that rules found by their values.
#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "os/linux/recover/recovery.h"

namespace vitrine::linux_os {
namespace {

// As in include/linux/sched.h (the same in 5.10, 6.1, 6.12 and 7.3). __state is left out: it lies before what is shuffled.
constexpr FieldId kUsualOrder[] = {
    FieldId::task_stack,          FieldId::task_flags,        FieldId::task_tasks,      FieldId::task_mm,
    FieldId::task_exit_state,     FieldId::task_group_leader, FieldId::task_thread_pid, FieldId::task_thread_node,
    FieldId::task_start_boottime, FieldId::task_comm,         FieldId::task_fs,         FieldId::task_files,
    FieldId::task_nsproxy,        FieldId::task_signal,       FieldId::task_sighand,
};
// Five in a given order: one of 120 shuffled kernels has that, and then its pid must still lie right beside its tgid.
constexpr std::size_t kEnough = 5;

bool is_usual(const Recovery& r) {
    std::vector<std::uint32_t> places;
    for (const FieldId id : kUsualOrder) {
        const bool judged = std::find(r.by_order.begin(), r.by_order.end(), id) != r.by_order.end();
        const auto at = r.offset(id);
        if (at && !judged) places.push_back(*at);
    }
    return places.size() >= kEnough && std::is_sorted(places.begin(), places.end());
}

}  // namespace

bool recover_order(Recovery& r) {
    if (is_usual(r)) return true;
    for (const FieldId id : r.by_order) {
        r.layout.set(id, {});
        const std::string line = fmt::format("{} at ", need(id).name);
        std::erase_if(r.evidence, [&](const std::string& text) { return text.starts_with(line); });
    }
    return false;
}

}  // namespace vitrine::linux_os
