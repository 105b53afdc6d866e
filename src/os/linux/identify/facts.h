// The steps of identify(): each appends what it found out of an address.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vitrine/guest/identify.h"

namespace vitrine::linux_os {

class Facts {
public:
    void add(std::string_view what, std::string detail) {
        list_.push_back({std::string(what), std::move(detail), false});
    }
    void unknown(std::string_view what, std::string why) { list_.push_back({std::string(what), std::move(why), true}); }
    [[nodiscard]] std::vector<AddressFact> take() { return std::move(list_); }

private:
    std::vector<AddressFact> list_;
};

// Where the kernel put its areas (Documentation/arch/x86/x86_64/mm.rst). Those that are randomised are variables.
struct KernelAreas {
    std::optional<Gva> direct_map, vmalloc, vmemmap;
    std::optional<std::uint64_t> max_pfn;
    bool five_levels = false;

    static KernelAreas of(const LinuxGuest& guest);
    // The guest-physical address behind an address of the direct map.
    [[nodiscard]] std::optional<Gpa> physical(Gva address) const;
    [[nodiscard]] std::optional<Gva> in_direct_map(Gpa address) const;
};

// Does the kernel still use this place of its image for what it was linked for?
[[nodiscard]] bool keeps_image(const SymbolNames& names, Gva address);
void add_region(Facts& facts, const SymbolNames& names, const KernelAreas& areas, PagingMode mode, Gva address);
void add_per_cpu(Facts& facts, LinuxGuest& guest, const SymbolNames& names, Gva address);
void add_tasks(Facts& facts, LinuxGuest& guest, const SymbolNames& names, Gva address);
// Is its page marked as never given to the page allocator, as those of the image are until they are freed? nullopt: not told.
[[nodiscard]] std::optional<bool> is_reserved(LinuxGuest& guest, const KernelAreas& areas, Gpa address);
// The page that holds the address: flags, kind, and the slab object if it is a slab's.
void add_page(Facts& facts, LinuxGuest& guest, const KernelAreas& areas, Gpa address);

}  // namespace vitrine::linux_os
