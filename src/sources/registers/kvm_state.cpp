#include "sources/registers/kvm_state.h"

#include <algorithm>

namespace vitrine {

namespace {

// arch/x86/include/asm/msr-index.h
enum : std::uint32_t {
    kSysenterCs = 0x174,
    kSysenterEsp = 0x175,
    kSysenterEip = 0x176,
    kStar = 0xc0000081,
    kLstar = 0xc0000082,
    kCstar = 0xc0000083,
    kSfmask = 0xc0000084,
    kKernelGsBase = 0xc0000102,
};

std::optional<std::uint64_t>* member_of(VcpuState& state, std::uint32_t index) {
    switch (index) {
        case kSysenterCs: return &state.sysenter_cs;
        case kSysenterEsp: return &state.sysenter_esp;
        case kSysenterEip: return &state.sysenter_eip;
        case kStar: return &state.star;
        case kLstar: return &state.lstar;
        case kCstar: return &state.cstar;
        case kSfmask: return &state.sfmask;
        case kKernelGsBase: return &state.kernel_gs_base;
        default: return nullptr;
    }
}

}  // namespace

std::vector<std::uint32_t> kvm_msr_indices() {
    // The ones that matter most first: KVM stops at the first that it does not know.
    return {kLstar, kKernelGsBase, kStar, kSfmask, kCstar, kSysenterEip, kSysenterEsp, kSysenterCs};
}

VcpuState to_vcpu_state(const guardian::VcpuRecord& record) {
    VcpuState state;
    const struct kvm_sregs& s = record.sregs;
    const struct kvm_regs& r = record.regs;
    state.index = record.id;
    state.cr0 = s.cr0;
    state.cr2 = s.cr2;
    state.cr3 = s.cr3;
    state.cr4 = s.cr4;
    state.efer = s.efer;
    state.rip = r.rip;
    state.rflags = r.rflags;
    state.gpr = {r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi,
                 r.r8,  r.r9,  r.r10, r.r11, r.r12, r.r13, r.r14, r.r15};
    state.cs = s.cs.selector;
    state.fs_base = s.fs.base;
    state.gs_base = s.gs.base;
    state.idt = {s.idt.base, s.idt.limit};
    state.gdt = {s.gdt.base, s.gdt.limit};
    const std::uint32_t count = std::min(record.msr_count, guardian::kMaxMsrs);
    for (std::uint32_t i = 0; i < count; ++i) {
        if (auto* member = member_of(state, record.msrs[i].index)) *member = record.msrs[i].data;
    }
    return state;
}

}  // namespace vitrine
