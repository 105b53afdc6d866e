#include <fmt/format.h>

#include <array>

#include "os/linux/find/prove.h"
#include "os/linux/identify/facts.h"

namespace vitrine::linux_os {
namespace {

constexpr std::uint64_t kTiB = std::uint64_t{1} << 40;

struct FixedArea {
    std::uint64_t first, last;
    std::string_view name;
};

// The same for all kernels since 4.15; Documentation/arch/x86/x86_64/mm.rst. The module area begins behind the image's, whose size a
// kernel does not tell (512 MiB, or 1 GiB where it may be moved): what is in no module there is named after both.
constexpr FixedArea kFixed[] = {
    {0xffff'fe00'0000'0000, 0xffff'fe7f'ffff'ffff, "cpu_entry_area"},
    {0xffff'ff00'0000'0000, 0xffff'ff7f'ffff'ffff, "espfix stacks"},
    {0xffff'ffef'0000'0000, 0xffff'fffe'ffff'ffff, "EFI runtime services"},
    {0xffff'ffff'8000'0000, 0xffff'ffff'9fff'ffff, "kernel image area, outside the image"},
    {0xffff'ffff'a000'0000, 0xffff'ffff'bfff'ffff, "kernel image or module area, outside the image and all modules"},
    {0xffff'ffff'c000'0000, 0xffff'ffff'feff'ffff, "module area, in no loaded module"},
    {0xffff'ffff'ff00'0000, 0xffff'ffff'ffff'ffff, "fixmap and vsyscall"},
};

struct ImagePart {
    std::string_view first, end, name;
    bool kept =
        true;  // false: its pages are given back and used for anything (mm/init.c, free_initmem_default(); unused brk)
};
constexpr ImagePart kImageParts[] = {
    {"__init_begin", "__init_end", "kernel init (freed after boot)", false},
    {"_text", "_etext", "kernel text"},
    {"__start_rodata", "__end_rodata", "kernel read-only data"},
    // mem_encrypt_free_decrypted_mem(), arch/x86/mm/mem_encrypt_amd.c: given back where memory is not encrypted
    {"__start_bss_decrypted_unused", "__end_bss_decrypted", "kernel bss, unused part", false},
    {"__bss_start", "__bss_stop", "kernel bss"},
    {"_sdata", "_edata", "kernel data"},
    {"__brk_base", "_end", "kernel brk", false},
};
// What lies between the parts is given back as well (arch/x86/mm/init_64.c, mark_rodata_ro()).
constexpr ImagePart kBetween{"", "", "kernel image, between its parts", false};

const ImagePart& image_part(const SymbolTable& symbols, Gva address) {
    for (const ImagePart& part : kImageParts) {
        const auto first = symbols.address_of(part.first);
        const auto end = symbols.address_of(part.end);
        if (first && end && address >= *first && address < *end) return part;
    }
    return kBetween;
}

bool within(Gva address, std::optional<Gva> base, std::uint64_t size) {
    return base && address >= *base && address.value - base->value < size;
}

std::string_view area_name(const KernelAreas& areas, Gva address) {
    // VMALLOC_SIZE_TB_L4 and _L5, arch/x86/include/asm/pgtable_64_types.h
    const std::uint64_t vmalloc_size = (areas.five_levels ? std::uint64_t{12'800} : std::uint64_t{32}) * kTiB;
    const std::uint64_t vmemmap_size = areas.vmemmap ? 0 - areas.vmemmap->value : 0;
    for (const FixedArea& area : kFixed) {
        if (address.value >= area.first && address.value <= area.last) return area.name;
    }
    if (areas.physical(address)) return "direct map";
    if (within(address, areas.vmalloc, vmalloc_size)) return "vmalloc";
    // struct pages of 64 TiB (32 PiB) take 1 TiB (512 TiB).
    if (within(address, areas.vmemmap, std::min(vmemmap_size, areas.five_levels ? 512 * kTiB : kTiB))) return "vmemmap";
    return {};
}

}  // namespace

KernelAreas KernelAreas::of(const LinuxGuest& guest) {
    KernelAreas areas;
    const auto variable = [&](SymbolId id) -> std::optional<std::uint64_t> {
        const auto at = guest.proven().symbols.get(id);
        if (!at) return std::nullopt;
        const auto value = guest.space().read_value<std::uint64_t>(*at);
        return value ? std::optional(*value) : std::nullopt;
    };
    const auto base = [&](SymbolId id) {
        const auto value = variable(id);
        return value ? std::optional(Gva{*value}) : std::nullopt;
    };
    areas.direct_map = base(SymbolId::page_offset_base);
    areas.vmalloc = base(SymbolId::vmalloc_base);
    areas.vmemmap = base(SymbolId::vmemmap_base);
    areas.max_pfn = variable(SymbolId::max_pfn);
    areas.five_levels = guest.space().mode() == PagingMode::x86_64_5level;
    return areas;
}

std::optional<Gpa> KernelAreas::physical(Gva address) const {
    if (!direct_map || !max_pfn || address < *direct_map) return std::nullopt;
    const std::uint64_t at = address.value - direct_map->value;
    return at / kPageSize < *max_pfn ? std::optional(Gpa{at}) : std::nullopt;
}

std::optional<Gva> KernelAreas::in_direct_map(Gpa address) const {
    if (!direct_map || !max_pfn || address.value / kPageSize >= *max_pfn) return std::nullopt;
    return direct_map->plus(address.value);
}

bool keeps_image(const SymbolNames& names, Gva address) {
    return names.in_kernel_image(address) && image_part(names.table(), address).kept;
}

void add_region(Facts& facts, const SymbolNames& names, const KernelAreas& areas, PagingMode mode, Gva address) {
    if (!is_canonical(mode, address)) {
        facts.add("region", "not canonical: no address of this processor");
    } else if (address.value >> 63 == 0) {
        facts.add("region", "user half: what lies there depends on the process");
    } else if (names.in_kernel_image(address)) {
        facts.add("region", std::string(image_part(names.table(), address).name));
    } else if (names.module_area(address) != nullptr) {
        facts.add("region", "module area");
    } else if (const std::string_view area = area_name(areas, address); !area.empty()) {
        facts.add("region", std::string(area));
    } else if (!areas.direct_map || !areas.max_pfn || !areas.vmalloc || !areas.vmemmap) {
        facts.unknown("region",
                      "this kernel's page_offset_base, vmalloc_base, vmemmap_base and max_pfn cannot all be read");
    } else {
        facts.add("region", "kernel half, in none of its areas");
    }
}

}  // namespace vitrine::linux_os
