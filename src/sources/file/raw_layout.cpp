#include "sources/file/raw_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace vitrine {
namespace {

constexpr std::uint64_t kFourGiB = std::uint64_t{1} << 32;

struct Hole {
    std::uint64_t start;
    std::string_view whose;
    // From this much RAM on the machine has the hole; with less all RAM lies below it (QEMU hw/i386/pc_piix.c and
    // pc_q35.c: pc_init1, pc_q35_init).
    std::uint64_t from_size;
};

constexpr std::uint64_t kNever = ~std::uint64_t{0};
constexpr std::array kHoles{
    Hole{0xc000'0000, "pc, VMware, cloud-hypervisor", 0xe000'0000},
    Hole{0x8000'0000, "q35", 0xb000'0000},
    Hole{0xe000'0000, "pc before QEMU 2.0", kNever},
    Hole{0xb000'0000, "q35 with little memory below 4 GiB", kNever},
    Hole{0xd000'0000, "Firecracker", kNever},
};

// Padded files have the hole in them. 0xe0000000..0xfdffffff is part of every machine's hole, and above it lie devices
// that a dump by address range may have read (APIC, HPET, the firmware's flash).
bool hole_is_empty(RamStore& store) {
    constexpr std::uint64_t kStart = 0xe000'0000;
    constexpr std::uint64_t kStride = 64 * kPageSize;
    constexpr std::uint64_t kCount = (0xfe00'0000 - kStart) / kStride;
    if (store.populated({kStart, 0xfe00'0000 - kStart}).empty()) return true;
    std::vector<std::byte> samples(kCount * 16);
    if (!store.read_strided(kStart, kStride, 16, kCount, samples)) return false;
    return std::all_of(samples.begin(), samples.end(), [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

std::vector<MemoryLayout> raw_layouts(RamStore& store) {
    const std::uint64_t size = store.size();
    const MemoryLayout flat = MemoryLayout::with_hole(size, size, "no hole");
    std::vector<MemoryLayout> layouts;
    const bool is_padded = size > kFourGiB && hole_is_empty(store);
    if (is_padded || size < kHoles[0].from_size) layouts.push_back(flat);
    // First the machines that must have the hole at this size, then the rest.
    for (const bool wanted : {true, false}) {
        for (const Hole& hole : kHoles) {
            if (hole.start >= size || (size >= hole.from_size) != wanted) continue;
            layouts.push_back(
                MemoryLayout::with_hole(size, hole.start, fmt::format("hole at {:#x} ({})", hole.start, hole.whose)));
        }
    }
    if (layouts.empty() || (!is_padded && size >= kHoles[0].from_size)) layouts.push_back(flat);
    return layouts;
}

}  // namespace vitrine
