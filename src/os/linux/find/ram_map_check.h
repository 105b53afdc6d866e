// Does the memory layout agree with what the guest's firmware told its kernel (the e820 map)? It decides between candidate layouts of a raw
// file or of a monitor that cannot be asked.
#pragma once

#include <optional>
#include <string>

#include "os/linux/find/prove.h"
#include "vitrine/memory/ram_store.h"

namespace vitrine::linux_os {

struct GuestRamMap {
    std::uint64_t low_end = 0;     // end of the highest usable range below 4 GiB
    std::uint64_t high_bytes = 0;  // usable bytes from 4 GiB on
    std::string source;            // "e820_table", "max_pfn"
};

// nullopt: the guest's map could not be read.
[[nodiscard]] std::optional<GuestRamMap> read_ram_map(PhysicalMemory& memory, const ProvenKernel& kernel);

// "" when the layout fits the map, else what disagrees.
[[nodiscard]] std::string disagreement(const GuestRamMap& map, const MemoryLayout& layout);

}  // namespace vitrine::linux_os
