// Where QEMU's x86 machines put RAM in guest-physical space: below the PCI hole, and from 4 GiB on.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/memory/ram_store.h"

namespace vitrine {

enum class X86Chipset : std::uint8_t { i440fx, q35, microvm };

// From -machine: "pc", "pc-i440fx-7.2", "q35", "pc-q35-7.2", "microvm", "isapc". Others are taken for i440fx, the default.
X86Chipset chipset_of(std::string_view machine);
[[nodiscard]] std::string_view to_string(X86Chipset);

// How much RAM lies below 4 GiB. max_below_4g: the machine's max-ram-below-4g, 0 when not given.
std::uint64_t ram_below_4g(X86Chipset chipset, std::uint64_t ram_size, std::uint64_t max_below_4g);

// A block of main memory and where it is kept in the store.
struct StoredBlock {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
};

// Blocks one behind the other in guest-physical space, split at the hole. The window of the VGA adapter
// (0xa0000..0xbffff) is no RAM on PCs; microvm has none.
MemoryLayout x86_layout(std::span<const StoredBlock> blocks, std::uint64_t below_4g, bool has_vga_window,
                        std::string name);

}  // namespace vitrine
