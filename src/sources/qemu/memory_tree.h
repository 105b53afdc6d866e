// Reads QEMU's account of its guest-physical memory: HMP `info mtree -f` and `gpa2hva`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/base/result.h"

namespace vitrine {

// A line such as "  0000000000100000-000000007fffffff (prio 0, ram): pc.ram @0000000000100000 KVM".
struct FlatRange {
    std::uint64_t start = 0;
    std::uint64_t size = 0;
    std::uint64_t offset = 0;  // in the memory region
    std::string type;          // "ram", "rom", "i/o", "ramd", "romd", "nv-ram"
    std::string region;        // the memory region's name: for RAM, its backend's

    friend bool operator==(const FlatRange&, const FlatRange&) = default;
};

// The flat view of the address space "memory", which all devices and processors see: sorted, disjoint. Errors: malformed,
// limit, not_found.
Result<std::vector<FlatRange>> parse_flat_view(std::string_view text);

// The host address in "Host virtual address for 0x0 (pc.ram) is 0x7f..."; nullopt when it is another answer.
std::optional<std::uint64_t> parse_gpa2hva(std::string_view text);

// A backend's id from the name of its memory region: "/objects/mem0" (machine types before 4.1) and "mem0" are both mem0.
std::string backend_id_of_region(std::string_view region);

}  // namespace vitrine
