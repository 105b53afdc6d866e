// What is said of a proven kernel.
#pragma once

#include "os/linux/find/prove.h"
#include "vitrine/guest/guest.h"
#include "vitrine/memory/ram_store.h"

namespace vitrine::linux_os {

// Without steps and rejected, which are the attach's own.
[[nodiscard]] KernelInfo describe(PhysicalMemory& memory, const ProvenKernel& kernel, const MemoryLayout& layout);

}  // namespace vitrine::linux_os
