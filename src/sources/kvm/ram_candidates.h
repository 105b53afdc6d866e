// Which mappings of an unknown monitor may be guest RAM, and in which layouts.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sources/host/maps.h"
#include "vitrine/machine/registers.h"
#include "vitrine/memory/ram_store.h"

namespace vitrine {

struct RamCandidate {
    std::uint64_t host_start = 0;
    std::uint64_t size = 0;
    std::uint64_t store_offset = 0;
    friend bool operator==(const RamCandidate&, const RamCandidate&) = default;
};

// Large private or shared mappings that can be read and written, largest first, at most kMaxRamCandidates. Stacks of
// threads, the heap and KVM's own shared pages are left out.
inline constexpr std::size_t kMaxRamCandidates = 8;
std::vector<RamCandidate> find_ram_candidates(const std::vector<HostMapping>& maps);

// The candidates, and beside each the other places in it where RAM may begin and end: small mappings of the monitor's own often lie
// right beside RAM, and the kernel merges neighbours. Monitors put RAM on a boundary of a huge page, or the mapping itself ends there.
std::vector<RamCandidate> with_parts(std::span<const RamCandidate> candidates, const std::vector<HostMapping>& maps);

// Layouts over a store that holds the candidates one behind the other: each mapping from address 0 on, split where a
// monitor may leave a hole below 4 GiB, and pairs of mappings, one below the hole and one from 4 GiB on.
std::vector<MemoryLayout> layouts_of(std::span<const RamCandidate> candidates);

// How many of the addresses that a running vCPU depends on (instruction, descriptor tables, kernel per-CPU area) the page
// tables in this memory lead to: more is likelier. 0: this is not the guest's memory, or nothing can be said.
unsigned count_reachable(PhysicalMemory& memory, const VcpuState& vcpu);

}  // namespace vitrine
