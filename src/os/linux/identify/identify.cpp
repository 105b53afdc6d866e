#include "vitrine/guest/identify.h"

#include <fmt/format.h>

#include "os/linux/find/prove.h"
#include "os/linux/identify/facts.h"

namespace vitrine {
namespace {

using linux_os::Facts;
using linux_os::KernelAreas;

void add_symbol_and_module(Facts& facts, const SymbolNames& names, Gva address) {
    if (const std::string name = names.name(address); !name.empty()) facts.add("symbol", name);
    if (const auto* area = names.module_area(address); area != nullptr && !names.in_kernel_image(address)) {
        facts.add("module", fmt::format("{}, {} {:#x}+{:#x}", area->module, area->part, area->base.value,
                                        address.value - area->base.value));
    } else if (!names.modules_missing().empty() && address.value >= linux_os::kStartKernelMap) {
        facts.unknown("module", names.modules_missing());
    }
}

// Where the kernel's own page tables put it.
std::optional<Gpa> add_mapping(Facts& facts, const LinuxGuest& guest, Gva address) {
    const auto found = guest.space().translate(address);
    if (!found) {
        facts.add("mapping", fmt::format("none: {}", found.error().to_string()));
        return std::nullopt;
    }
    facts.add("mapping",
              fmt::format("guest-physical {:#x}, {} KiB page, r{}{}{}", found->address.value, found->page_size / 1024,
                          found->writable ? "w" : "-", found->executable ? "x" : "-", found->user ? ", user" : ""));
    return found->address;
}

bool is_ram(const LinuxGuest& guest, Gpa address) {
    for (const MemoryRange& range : guest.space().memory().ranges()) {
        if (address >= range.start && address.value - range.start.value < range.size) return true;
    }
    return false;
}

void add_virtual(Facts& facts, LinuxGuest& guest, const SymbolNames& names, const KernelAreas& areas, Gva address) {
    add_symbol_and_module(facts, names, address);
    add_region(facts, names, areas, guest.space().mode(), address);
    if (address.value >> 63 == 0 || !is_canonical(guest.space().mode(), address)) return;
    const auto physical = add_mapping(facts, guest, address);
    add_per_cpu(facts, guest, names, address);
    add_tasks(facts, guest, names, address);
    if (physical && is_ram(guest, *physical)) add_page(facts, guest, areas, *physical);
    else if (physical) facts.add("page", "none: not RAM");
}

}  // namespace

Result<std::vector<AddressFact>> identify(LinuxGuest& guest, Gva address) {
    const SymbolNames names = VITRINE_TRY(SymbolNames::load(guest));
    Facts facts;
    add_virtual(facts, guest, names, KernelAreas::of(guest), address);
    return facts.take();
}

Result<std::vector<AddressFact>> identify(LinuxGuest& guest, Gpa address) {
    const SymbolNames names = VITRINE_TRY(SymbolNames::load(guest));
    const KernelAreas areas = KernelAreas::of(guest);
    Facts facts;
    facts.add("physical", is_ram(guest, address) ? "RAM" : "not RAM");
    // The image has a second mapping of its own, where its symbols are. What of it was given back after boot holds other things.
    const Gva in_image = guest.kernel().text_va.wrap_plus(address.value - guest.kernel().text_pa.value);
    const bool kept = linux_os::keeps_image(names, in_image) &&
                      linux_os::is_reserved(guest, areas, address).value_or(true);
    if (address >= guest.kernel().text_pa && kept) {
        facts.add("virtual", fmt::format("{:#x}", in_image.value));
        add_virtual(facts, guest, names, areas, in_image);
        return facts.take();
    }
    const auto direct = areas.in_direct_map(address);
    if (direct) {
        facts.add("virtual", fmt::format("{:#x}", direct->value));
        add_virtual(facts, guest, names, areas, *direct);
    } else {
        facts.unknown("virtual", "behind the direct map, or page_offset_base and max_pfn cannot be read");
    }
    return facts.take();
}

}  // namespace vitrine
