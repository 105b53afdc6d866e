// The ways to a kernel image, cheapest first. Each hands candidates to `try_image` until one is accepted (it returns true) or there
// are no more; none is ever taken unproven. `whole` is what all routes together may spend on candidates.
#pragma once

#include <functional>
#include <string>

#include "os/linux/find/kernel_image.h"
#include "os/linux/find/patience.h"
#include "vitrine/base/function_ref.h"
#include "vitrine/machine/registers.h"
#include "vitrine/memory/physical_memory.h"

namespace vitrine::linux_os {

using TryImage = FunctionRef<bool(KernelImage)>;
using Progress = FunctionRef<void(double fraction)>;

// What a route looked at, for the account when nothing was found: "2 vCPUs, none runs on a Linux kernel's page tables".
struct RouteReport {
    bool accepted = false;
    std::string account;
};

// From the page tables of the vCPUs. With page-table isolation a vCPU in user mode has the user half, which lies one page
// above the kernel half (arch/x86/include/asm/pgtable.h, kernel_to_user_pgdp).
RouteReport find_by_registers(PhysicalMemory& memory, std::span<const VcpuState> vcpus, Patience& whole,
                              TryImage try_image);

// Every page is looked at as a top-level page table: its last entry maps the kernel image, and all tables of one kernel share its
// target. 8 bytes are read of each page; stops early at the first candidate that is proven.
RouteReport find_by_page_tables(PhysicalMemory& memory, Patience& whole, TryImage try_image, Progress progress);

// The page that holds the VMCOREINFO text (kernel/vmcore_info.c) names the page tables and phys_base.
RouteReport find_by_vmcoreinfo(PhysicalMemory& memory, Patience& whole, TryImage try_image, Progress progress);

// Reads all RAM for the symbol table itself.
RouteReport find_by_scan(PhysicalMemory& memory, Patience& whole, TryImage try_image, Progress progress);

}  // namespace vitrine::linux_os
