// Which of several blocks of one size is which, where a monitor could not be asked: the kernel itself tells.
//
// node_data[n] points at the pg_data_t of NUMA node n. That lies in the node's own memory (alloc_node_data() in arch/x86/mm/numa.c, in
// mm/numa.c since 6.12), is reached through the direct map, and has its own address in it: each of its zones points back at it
// (zone_pgdat, set by zone_init_internals() in mm/mm_init.c, before 6.5 in mm/page_alloc.c, for empty zones too). So the block in which a
// pg_data_t lies is the one with that address where the pointer leads: no other block has it there. Nothing of the types is needed, since
// node_zones[0] comes first of all.
//
// It is the guest that tells: one that forges its pointers mixes up the blocks that were offered, for itself, and reaches nothing else.
#pragma once

#include <cstddef>
#include <span>

#include "os/linux/find/prove.h"
#include "vitrine/memory/ram_store.h"

namespace vitrine::linux_os {

struct BlockOrder {
    MemoryLayout layout;     // the layout in force, with each proven block in its place
    std::size_t blocks = 0;  // that the layout shows and that might be another
    std::size_t proven = 0;  // of them
    [[nodiscard]] bool is_proven() const { return proven == blocks; }
};

// Precondition: check_image() accepted the kernel with the layout in force. memory: `ram` or a cache in front of it.
[[nodiscard]] BlockOrder find_block_order(PhysicalMemory& memory, GuestMemory& ram,
                                          std::span<const InterchangeableParts> groups, const ProvenKernel& kernel);

}  // namespace vitrine::linux_os
