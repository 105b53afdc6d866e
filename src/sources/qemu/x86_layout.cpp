#include "sources/qemu/x86_layout.h"

#include <algorithm>
#include <utility>

namespace vitrine {
namespace {

constexpr std::uint64_t k4GiB = 1ull << 32;
constexpr std::uint64_t kVgaStart = 0xa0000;
constexpr std::uint64_t kVgaEnd = 0xc0000;

// Adds [gpa, gpa + size) at offset, cut around [hole, hole_end).
void add(std::vector<LayoutExtent>& extents, std::uint64_t gpa, std::uint64_t size, std::uint64_t offset,
         std::uint64_t hole, std::uint64_t hole_end) {
    const std::uint64_t end = gpa + size;
    const auto add_part = [&](std::uint64_t from, std::uint64_t to) {
        if (from < to) extents.push_back({Gpa{from}, to - from, offset + (from - gpa)});
    };
    add_part(gpa, std::min(end, std::max(gpa, hole)));
    add_part(std::max(gpa, std::min(end, hole_end)), end);
}

}  // namespace

X86Chipset chipset_of(std::string_view machine) {
    if (machine.find("q35") != std::string_view::npos) return X86Chipset::q35;
    // RHEL names its q35 machines pc-q35-rhel8.2.0, its i440fx ones pc-i440fx-rhel7.6.0.
    if (machine.starts_with("microvm")) return X86Chipset::microvm;
    return X86Chipset::i440fx;
}

std::string_view to_string(X86Chipset chipset) {
    switch (chipset) {
        case X86Chipset::i440fx: return "pc";
        case X86Chipset::q35: return "q35";
        case X86Chipset::microvm: return "microvm";
    }
    return "unknown";
}

std::uint64_t ram_below_4g(X86Chipset chipset, std::uint64_t ram_size, std::uint64_t max_below_4g) {
    std::uint64_t low = 0;
    switch (chipset) {
        case X86Chipset::i440fx:
            // pc_init1() in hw/i386/pc_piix.c: 3.5 GiB, or 3 GiB as soon as there is anything above.
            low = max_below_4g != 0 ? max_below_4g : 0xe000'0000;
            if (ram_size >= low) low = std::min<std::uint64_t>(low, 0xc000'0000);
            break;
        case X86Chipset::q35:
            // pc_q35_init() in hw/i386/pc_q35.c: 2.75 GiB, or 2 GiB as soon as there is anything above.
            low = ram_size >= 0xb000'0000 ? 0x8000'0000 : 0xb000'0000;
            if (max_below_4g != 0) low = std::min(low, max_below_4g);
            break;
        case X86Chipset::microvm:
            // microvm_memory_init() in hw/i386/microvm.c
            low = 0xc000'0000;
            break;
    }
    return std::min(low, ram_size);
}

MemoryLayout x86_layout(std::span<const StoredBlock> blocks, std::uint64_t below_4g, bool has_vga_window,
                        std::string name) {
    MemoryLayout layout{std::move(name), {}, false};
    const std::uint64_t hole = has_vga_window ? kVgaStart : kVgaEnd;
    std::uint64_t gpa = 0;
    for (const StoredBlock& block : blocks) {
        std::uint64_t done = 0;
        while (done < block.size) {
            if (gpa == below_4g) gpa = k4GiB;
            const std::uint64_t room = gpa < below_4g ? below_4g - gpa : block.size;
            const std::uint64_t size = std::min(room, block.size - done);
            add(layout.extents, gpa, size, block.offset + done, hole, kVgaEnd);
            gpa += size;
            done += size;
        }
    }
    return layout;
}

}  // namespace vitrine
