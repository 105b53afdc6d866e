// A machine of any monitor that uses /dev/kvm, with nothing known about the monitor: kvm:PID.
//
// RAM: every large readable and writable mapping of the monitor may be guest memory. Each is offered as a candidate
// layout; the vCPU's own page tables order them (the layout in which CR3 leads to RIP comes first), the kernel finder
// proves one. Registers come by ioctls in the vCPU threads, pausing by stopping the monitor's threads.
#pragma once

#include <sys/types.h>

#include <memory>

#include "vitrine/base/result.h"
#include "vitrine/machine/machine.h"

namespace vitrine {

Result<std::unique_ptr<Machine>> open_kvm_machine(pid_t pid, const OpenOptions& options);

}  // namespace vitrine
