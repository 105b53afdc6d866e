// Where each CPU has its copy of the per-CPU variables (mm/percpu.c, setup_per_cpu_areas).
#pragma once

#include <cstdint>
#include <vector>

#include "vitrine/base/result.h"
#include "vitrine/guest/linux_guest.h"

namespace vitrine::linux_os {

// __per_cpu_offset[], of the CPUs that the guest can have: what is added to the address of a variable as linked.
Result<std::vector<std::uint64_t>> per_cpu_offsets(const LinuxGuest& guest);

}  // namespace vitrine::linux_os
