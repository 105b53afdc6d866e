#include "os/linux/find/ram_map_check.h"

#include <algorithm>

#include <fmt/format.h>

namespace vitrine::linux_os {
namespace {

constexpr std::uint64_t kFourGiB = 1ull << 32;
constexpr std::size_t kEntrySize = 20;       // struct e820_entry, packed (arch/x86/include/asm/e820/types.h)
constexpr std::uint32_t kMaxEntries = 3200;  // E820_MAX_ENTRIES is 128 + 3 * MAX_NUMNODES
constexpr std::uint32_t kUsable = 1;

// The table is reached through a pointer: the kernel moves it out of init memory (e820__reallocate_tables).
std::optional<GuestRamMap> read_e820(PhysicalMemory& memory, const ProvenKernel& kernel) {
    const auto symbol = kernel.symbols.get(SymbolId::e820_table);
    if (!symbol) return std::nullopt;
    const AddressSpace space(memory, kernel.image.paging, kernel.root);
    const auto table = space.read_pointer(*symbol);
    if (!table) return std::nullopt;
    const auto count = space.read_value<std::uint32_t>(*table);
    if (!count || *count == 0 || *count > kMaxEntries) return std::nullopt;
    std::vector<std::byte> bytes(*count * kEntrySize);
    if (!space.read(table->wrap_plus(4), bytes)) return std::nullopt;
    GuestRamMap map;
    map.source = "e820_table";
    for (std::size_t i = 0; i < *count; ++i) {
        const std::byte* entry = bytes.data() + i * kEntrySize;
        const auto start = load<std::uint64_t>(entry);
        const auto size = load<std::uint64_t>(entry + 8);
        std::uint64_t end = 0;
        if (load<std::uint32_t>(entry + 16) != kUsable || __builtin_add_overflow(start, size, &end)) continue;
        if (start >= kFourGiB) map.high_bytes += size;
        else map.low_end = std::max(map.low_end, std::min(end, kFourGiB));
    }
    if (map.low_end == 0) return std::nullopt;
    return map;
}

std::optional<GuestRamMap> read_max_pfn(PhysicalMemory& memory, const ProvenKernel& kernel) {
    const auto symbol = kernel.symbols.get(SymbolId::max_pfn);
    if (!symbol) return std::nullopt;
    const auto value = memory.read_value<std::uint64_t>(Gpa{symbol->value + kernel.image.virtual_to_physical()});
    if (!value || *value == 0 || *value > (1ull << 40)) return std::nullopt;
    GuestRamMap map;
    map.source = "max_pfn";
    const std::uint64_t end = *value * kPageSize;
    map.low_end = std::min(end, kFourGiB);
    map.high_bytes = end > kFourGiB ? end - kFourGiB : 0;
    return map;
}

}  // namespace

std::optional<GuestRamMap> read_ram_map(PhysicalMemory& memory, const ProvenKernel& kernel) {
    auto map = read_e820(memory, kernel);
    return map ? map : read_max_pfn(memory, kernel);
}

std::string disagreement(const GuestRamMap& map, const MemoryLayout& layout) {
    std::uint64_t low_end = 0;
    std::uint64_t high_bytes = 0;
    for (const LayoutExtent& extent : layout.extents) {
        const std::uint64_t end = extent.start.value + extent.size;
        if (extent.start.value < kFourGiB) low_end = std::max(low_end, std::min(end, kFourGiB));
        if (end > kFourGiB) high_bytes += end - std::max(extent.start.value, kFourGiB);
    }
    if (map.high_bytes != high_bytes) {
        return fmt::format("the guest's {} has {:#x} bytes of RAM above 4 GiB, this layout {:#x}", map.source,
                           map.high_bytes, high_bytes);
    }
    // Firmware keeps some megabytes below the hole for itself (ACPI tables, SMRAM); a padded file has zeros up to 4 GiB.
    constexpr std::uint64_t kFirmware = 64u << 20;
    const bool padded = layout.extents.size() == 1 && high_bytes > 0;
    if (map.source == "e820_table" && !padded && (low_end < map.low_end || low_end - map.low_end > kFirmware)) {
        return fmt::format("the guest's {} ends at {:#x} below 4 GiB, this layout at {:#x}", map.source, map.low_end,
                           low_end);
    }
    return {};
}

}  // namespace vitrine::linux_os
