#include "sources/file/elf_notes.h"

#include <cstdint>
#include <optional>
#include <string_view>

#include "vitrine/base/bytes.h"

namespace vitrine {
namespace {

constexpr std::size_t kMaxVcpus = 8192;

// QEMU's note, version 1 (QEMU target/i386/arch_dump.c, QEMUCPUState): u32 version, u32 size, rax rbx rcx rdx rsi rdi
// rsp rbp r8..r15 rip rflags, ten segments {u32 selector, limit, flags, pad; u64 base} in the order cs ds es fs gs ss
// ldt tr gdt idt, cr0..cr4, and since QEMU 2.12 kernel_gs_base.
constexpr std::uint64_t kGpr = 8;
constexpr std::uint64_t kRip = kGpr + 16 * 8;
constexpr std::uint64_t kSegments = kRip + 2 * 8;
constexpr std::uint64_t kSegmentSize = 24;
constexpr std::uint64_t kControl = kSegments + 10 * kSegmentSize;
constexpr std::uint64_t kKernelGs = kControl + 5 * 8;

enum SegmentIndex : std::uint64_t { kCs = 0, kFs = 3, kGs = 4, kGdt = 8, kIdt = 9 };

// The note's order of general registers, as indices into VcpuState::gpr (rax rcx rdx rbx rsp rbp rsi rdi r8..r15).
constexpr std::size_t kGprOrder[16] = {0, 3, 1, 2, 6, 7, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15};

// The note has no EFER. With paging and PAE on, and a first processor in long mode (e_machine), this one is too.
std::uint64_t likely_efer(const VcpuState& state, bool is_x86_64) {
    constexpr std::uint64_t kPg = std::uint64_t{1} << 31;
    constexpr std::uint64_t kPae = 1u << 5;
    constexpr std::uint64_t kLme = 1u << 8;
    constexpr std::uint64_t kLma = 1u << 10;
    return is_x86_64 && (state.cr0 & kPg) != 0 && (state.cr4 & kPae) != 0 ? kLme | kLma : 0;
}

std::optional<VcpuState> parse_qemu_note(ByteView desc, bool is_x86_64) {
    if (desc.u32(0) != 1u || desc.size() < kKernelGs) return std::nullopt;
    const auto word = [&](std::uint64_t offset) { return desc.u64(offset).value_or(0); };  // all lie below kKernelGs
    const auto base = [&](std::uint64_t segment) { return word(kSegments + segment * kSegmentSize + 16); };
    const auto table = [&](std::uint64_t segment) {
        return DescriptorTable{base(segment), desc.u32(kSegments + segment * kSegmentSize + 4).value_or(0)};
    };
    VcpuState state;
    for (std::size_t i = 0; i < 16; ++i) state.gpr[kGprOrder[i]] = word(kGpr + 8 * i);
    state.rip = word(kRip);
    state.rflags = word(kRip + 8);
    state.cs = desc.u16(kSegments + kCs * kSegmentSize).value_or(0);
    state.fs_base = base(kFs);
    state.gs_base = base(kGs);
    state.gdt = table(kGdt);
    state.idt = table(kIdt);
    state.cr0 = word(kControl);
    state.cr2 = word(kControl + 16);
    state.cr3 = word(kControl + 24);
    state.cr4 = word(kControl + 32);
    state.efer = likely_efer(state, is_x86_64);
    // Added without a new version: present if the note says that it is long enough.
    if (desc.u32(4).value_or(0) >= kKernelGs + 8) state.kernel_gs_base = desc.u64(kKernelGs);
    return state;
}

}  // namespace

void parse_elf_notes(std::span<const std::byte> notes, bool is_x86_64, std::vector<VcpuState>& vcpus) {
    const auto aligned = [](std::uint64_t size) { return (size + 3) / 4 * 4; };
    const ByteView view(notes);
    std::uint64_t at = 0;
    while (vcpus.size() < kMaxVcpus) {
        const auto name_size = view.u32(at);
        const auto desc_size = view.u32(at + 4);
        if (!name_size || !desc_size || !view.u32(at + 8)) return;
        const std::uint64_t desc_at = at + 12 + aligned(*name_size);
        const auto name = view.sub(at + 12, *name_size);
        const auto desc = view.sub(desc_at, *desc_size);
        if (!name || !desc) return;
        const std::string_view text(reinterpret_cast<const char*>(name->span().data()), name->size());
        if (text == std::string_view("QEMU\0", 5)) {
            if (auto state = parse_qemu_note(*desc, is_x86_64)) {
                state->index = static_cast<std::uint32_t>(vcpus.size());
                vcpus.push_back(*state);
            }
        }
        at = desc_at + aligned(*desc_size);
    }
}

}  // namespace vitrine
