// CPU registers of a guest's virtual processors, x86-64.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "vitrine/base/result.h"

namespace vitrine {

struct DescriptorTable {
    std::uint64_t base = 0;
    std::uint32_t limit = 0;
};

struct VcpuState {
    std::uint32_t index = 0;
    std::uint64_t cr0 = 0, cr2 = 0, cr3 = 0, cr4 = 0, efer = 0;
    // Exact only if the vCPU was stopped, or runs under KVM: under TCG these may lag (live registers sit in the
    // translated code's host registers). Control registers and MSRs are exact at all times.
    std::uint64_t rip = 0, rflags = 0;
    std::array<std::uint64_t, 16> gpr{};  // rax rcx rdx rbx rsp rbp rsi rdi r8..r15
    std::uint16_t cs = 0;
    std::uint64_t fs_base = 0, gs_base = 0;
    DescriptorTable idt, gdt;
    // Not every route can read these: absent is unknown, never zero.
    std::optional<std::uint64_t> kernel_gs_base, star, lstar, cstar, sfmask, sysenter_cs, sysenter_esp, sysenter_eip;

    [[nodiscard]] unsigned cpl() const { return cs & 3u; }
};

enum class RegisterSet : std::uint8_t {
    control,  // CR*, EFER, descriptor tables, segment bases, rip: what finding the kernel needs; the cheapest
    all,      // also the MSRs that the route can give
};

class VcpuRegisters {
public:
    virtual ~VcpuRegisters() = default;
    // All vCPUs, by index. A vCPU that could not be read is left out; empty is an error.
    virtual Result<std::vector<VcpuState>> read_registers(RegisterSet wanted) = 0;
    // e.g. "QMP", "KVM ioctls in the monitor"
    [[nodiscard]] virtual std::string_view route() const = 0;
};

// Stops and continues all vCPUs. Pauses nest across clients only as far as the monitor allows: a guest that was paused
// already is left paused by resume().
class PauseControl {
public:
    virtual ~PauseControl() = default;
    virtual Result<void> pause() = 0;
    virtual Result<void> resume() = 0;
    [[nodiscard]] virtual std::string_view route() const = 0;
};

}  // namespace vitrine
