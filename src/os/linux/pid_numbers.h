// The numbers of a struct pid (include/linux/pid.h): one for each pid namespace that it is in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "os/linux/layout.h"
#include "os/linux/task_view.h"

namespace vitrine::linux_os {

// In the initial namespace, of the struct pid that a member of signal_struct points to; 0 where it points to none.
[[nodiscard]] std::optional<std::int32_t> initial_pid(const LinuxGuest& guest, Gva signal, FieldId member);

// In all its namespaces, the initial one first, as NSpid of /proc/PID/status: "4711 1".
[[nodiscard]] std::optional<std::string> namespace_pids(const LinuxGuest& guest, const TaskView& task);

}  // namespace vitrine::linux_os
