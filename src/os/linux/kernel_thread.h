// Names of kernel threads, longer than the 15 bytes of comm.
#pragma once

#include <optional>
#include <string>

#include "os/linux/task_view.h"

namespace vitrine::linux_os {

// What /proc/PID/comm shows (proc_task_name, fs/proc/array.c): for a workqueue worker the comm with what it works on
// ("kworker/0:1-events"), for another kernel thread its full name, nullopt for tasks that have only their comm.
[[nodiscard]] std::optional<std::string> kernel_thread_name(const LinuxGuest& guest, const TaskKey& key,
                                                            const TaskView& task);

}  // namespace vitrine::linux_os
