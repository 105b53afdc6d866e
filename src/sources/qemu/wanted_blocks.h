// The blocks of main memory that a command line asks for, and the mappings of the process that each of them may be.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "sources/host/maps.h"
#include "sources/qemu/block_choices.h"
#include "sources/qemu/command_line.h"

namespace vitrine {

// A block of main memory that QEMU must have allocated, as the command line tells.
struct WantedBlock {
    std::string name;
    std::string type;  // "memory-backend-ram", ...; empty: the machine's default memory
    std::string path;
    std::uint64_t size = 0;
    std::size_t order = 0;  // in which it was made
};

std::vector<WantedBlock> wanted_blocks(const QemuCommandLine& line);

// In whole pages.
std::uint64_t mapped_size(const WantedBlock& block);

bool may_be_ram(const HostMapping& m);

// QEMU reserves a page more than the block and leaves it inaccessible behind it (qemu_ram_mmap() in util/mmap-alloc.c).
bool has_guard_behind(const std::vector<HostMapping>& maps, const HostMapping& m);

// Likeliest first. A block has a mapping of its own, as a rule. Policies for a part of it split that; and the kernel
// joins anonymous memory with what lies directly below (a thread's stack), though never with what lies behind, where the
// guard page is. `joined`: the mappings with neighbours put together.
std::vector<Candidate> candidates_for(const WantedBlock& block, const std::vector<HostMapping>& maps,
                                      const std::vector<HostMapping>& joined);

}  // namespace vitrine
