// Does the kernel that was found run? After a reset the kernel of before lies in memory, whole, until the next one overwrites it: what
// memory alone can be asked, it passes. The vCPUs know better; where they cannot be read, a clock that moves shows life.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "os/linux/find/kernel_image.h"
#include "os/linux/kernel_symbols.h"
#include "vitrine/machine/machine.h"

namespace vitrine::linux_os {

struct ProvenKernel;

enum class Running : std::uint8_t {
    yes,      // a vCPU runs on page tables that map this kernel's image
    no,       // every vCPU runs on others: those of firmware, of a boot loader, of another kernel
    unknown,  // registers cannot be read, or a guest of this guest may hold the vCPUs
};

// Page-table isolation is seen through, and processors that were never started are of no account. A vCPU with VMX or SVM on may
// be inside a nested guest, whose page tables say nothing about the host's.
[[nodiscard]] Running judge_vcpus(PhysicalMemory& memory, const KernelImage& image, std::span<const VcpuState> vcpus);

// The same for a machine, from its registers as they are now. A running one whose vCPUs are elsewhere is looked at again for up to 200 ms:
// they may be in system management mode, or bringing up a processor.
[[nodiscard]] Running watch_vcpus(Machine& machine, const KernelImage& image);

// What a kernel changes at each tick (kernel/time/timekeeping.c, do_timer and timekeeping_advance). The ticks of an idle kernel stop, for
// seconds if need be: a pulse that does not move proves nothing.
struct Pulse {
    std::optional<std::uint64_t> jiffies;
    std::optional<std::uint32_t> clock_updates;
};
[[nodiscard]] Pulse read_pulse(PhysicalMemory& memory, const KernelImage& image, const KernelSymbols& symbols);
[[nodiscard]] bool has_moved(const Pulse& before, const Pulse& after);

// Asks the vCPUs about a proven kernel; sets kernel.running and notes it among its checks. Error: the machine runs, but not this kernel.
Result<void> expect_running(Machine& machine, PhysicalMemory& memory, ProvenKernel& kernel, bool use_registers);

}  // namespace vitrine::linux_os
