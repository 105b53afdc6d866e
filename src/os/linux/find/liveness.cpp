#include "os/linux/find/liveness.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "os/linux/find/prove.h"

namespace vitrine::linux_os {
namespace {

// Intel SDM 3A 2.5 (CR4.VMXE; a nested guest cannot clear it), AMD APM 2 15.4 (EFER.SVME; VMRUN demands it of a guest).
bool may_be_nested(const VcpuState& vcpu) {
    constexpr std::uint64_t kVmxe = 1u << 13, kSvme = 1u << 12;
    return (vcpu.cr4 & kVmxe) != 0 || (vcpu.efer & kSvme) != 0;
}

bool maps_image(PhysicalMemory& memory, const KernelImage& image, Gpa root) {
    const auto first = translate(memory, image.paging, root, image.text_va);
    return first && first->address == image.text_pa;
}

bool runs_on(PhysicalMemory& memory, const KernelImage& image, const VcpuState& vcpu) {
    if (paging_mode_from_registers(vcpu.cr0, vcpu.cr4, vcpu.efer) != image.paging) return false;
    const Gpa root{vcpu.cr3 & kPteAddressMask};
    // The user half of page-table isolation lies one page above the kernel half and maps little of the image.
    return maps_image(memory, image, root) || maps_image(memory, image, Gpa{root.value & ~kPageSize});
}

Result<void> not_running() {
    return Error::with_text(Errc::not_found, Origin::guest,
                            "a kernel lies in memory, but the guest's processors do not run it: the guest is probably "
                            "rebooting, in its firmware or boot loader",
                            "try again when its kernel has started");
}

}  // namespace

Running judge_vcpus(PhysicalMemory& memory, const KernelImage& image, std::span<const VcpuState> vcpus) {
    // A CR0 of 0 is impossible (ET reads as 1): a source that cannot tell it.
    if (std::all_of(vcpus.begin(), vcpus.end(), [](const VcpuState& vcpu) { return vcpu.cr0 == 0; }))
        return Running::unknown;
    if (std::any_of(vcpus.begin(), vcpus.end(), [&](const VcpuState& vcpu) { return runs_on(memory, image, vcpu); }))
        return Running::yes;
    return std::any_of(vcpus.begin(), vcpus.end(), may_be_nested) ? Running::unknown : Running::no;
}

Running watch_vcpus(Machine& machine, const KernelImage& image) {
    constexpr std::chrono::milliseconds kInterval{10};
    constexpr unsigned kLooks = 20;
    VcpuRegisters* registers = machine.registers();
    if (registers == nullptr) return Running::unknown;
    Running verdict = Running::unknown;
    for (unsigned look = 0; look < kLooks; ++look) {
        const auto vcpus = registers->read_registers(RegisterSet::control);
        if (!vcpus) return Running::unknown;
        machine.memory().new_generation();
        verdict = judge_vcpus(machine.memory(), image, *vcpus);
        if (verdict != Running::no || !machine.is_live()) return verdict;
        std::this_thread::sleep_for(kInterval);
    }
    return verdict;
}

Pulse read_pulse(PhysicalMemory& memory, const KernelImage& image, const KernelSymbols& symbols) {
    Pulse pulse;
    const auto at = [&](Gva va) { return Gpa{va.value + image.virtual_to_physical()}; };
    if (const auto va = symbols.get(SymbolId::jiffies_64)) {
        if (const auto value = memory.read_value<std::uint64_t>(at(*va))) pulse.jiffies = *value;
    }
    // Its sequence counter is the first member of each of its shapes (see wall_clock.cpp).
    auto clock = symbols.get(SymbolId::timekeeper_data);
    if (!clock) clock = symbols.get(SymbolId::tk_core);
    if (clock) {
        if (const auto value = memory.read_value<std::uint32_t>(at(*clock))) pulse.clock_updates = *value;
    }
    return pulse;
}

bool has_moved(const Pulse& before, const Pulse& after) {
    // Forward by some ticks, and both together: what overwrites a dead kernel (the next one's data, say) is no time that passed.
    constexpr std::uint64_t kMost = 1u << 17;  // two minutes at 1000 Hz
    const auto known = [](const auto& a, const auto& b) { return a && b; };
    const auto forward = [](const auto& a, const auto& b) { return *b > *a && *b - *a <= kMost; };
    const bool ticks = known(before.jiffies, after.jiffies);
    const bool clock = known(before.clock_updates, after.clock_updates);
    return (ticks || clock) && (!ticks || forward(before.jiffies, after.jiffies)) &&
           (!clock || forward(before.clock_updates, after.clock_updates));
}

Result<void> expect_running(Machine& machine, PhysicalMemory& memory, ProvenKernel& kernel, bool use_registers) {
    const bool told = kernel.image.route == FindRoute::registers;
    if (told) kernel.running = Running::yes;
    else if (use_registers) kernel.running = watch_vcpus(machine, kernel.image);
    if (kernel.running == Running::no && machine.is_live()) return not_running();
    if (kernel.running != Running::yes) return {};
    kernel.checks.push_back("a vCPU runs on page tables that map the image");
    if (told || !machine.is_live()) return {};
    // It may have been proven as it was before a reset, and come back to life where it lay.
    memory.new_generation();
    return same_kernel(memory, kernel) ? Result<void>() : not_running();
}

}  // namespace vitrine::linux_os
