#include "sources/kvm/ram_candidates.h"

#include <fmt/format.h>

#include <algorithm>

#include "vitrine/memory/paging.h"

namespace vitrine {

namespace {

constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint64_t kFourGiB = std::uint64_t{1} << 32;
// A guest needs more than that; most other mappings of a monitor (heap, rings, logs) are smaller.
constexpr std::uint64_t kSmallest = 2 * kMiB;
constexpr std::uint64_t kHugePage = 2 * kMiB;
constexpr std::uint64_t kUsualStack = 8 * kMiB;  // RLIMIT_STACK, which pthreads give to each thread
constexpr std::size_t kMaxLayouts = 48;
// Where monitors end low memory: QEMU's pc, q35 and Cloud Hypervisor; q35 with much memory; Firecracker and crosvm.
constexpr std::uint64_t kHoleStarts[] = {0xc000'0000, 0x8000'0000, 0xd000'0000, 0xe000'0000};

bool is_guard(const HostMapping& m) { return !m.readable && !m.writable; }

// A thread's stack: anonymous, of the usual size, right above an inaccessible page.
bool looks_like_stack(const std::vector<HostMapping>& maps, std::size_t index) {
    const HostMapping& m = maps[index];
    if (m.is_file() || m.size() > kUsualStack || index == 0) return false;
    const HostMapping& below = maps[index - 1];
    return below.end == m.start && is_guard(below) && below.size() <= 64 * 1024;
}

bool may_be_ram(const HostMapping& m) {
    if (!m.readable || !m.writable || m.size() < kSmallest) return false;
    if (m.path.starts_with("[")) return false;
    // The page that KVM shares with the monitor, and its rings.
    return !m.path.starts_with("anon_inode:");
}

void add(std::vector<MemoryLayout>& layouts, MemoryLayout layout) {
    if (layouts.size() < kMaxLayouts) layouts.push_back(std::move(layout));
}

void add_single(std::vector<MemoryLayout>& layouts, const RamCandidate& c) {
    const std::string name = fmt::format("mapping at {:#x} ({} MiB)", c.host_start, c.size / kMiB);
    const MemoryLayout whole{name, {{Gpa{0}, c.size, c.store_offset}}, false};
    if (c.size <= kHoleStarts[0]) add(layouts, whole);
    for (const std::uint64_t hole : kHoleStarts) {
        if (c.size <= hole) continue;
        add(layouts, {fmt::format("{}, hole at {:#x}", name, hole),
                      {{Gpa{0}, hole, c.store_offset}, {Gpa{kFourGiB}, c.size - hole, c.store_offset + hole}},
                      false});
    }
    if (c.size > kHoleStarts[0] && c.size <= std::end(kHoleStarts)[-1]) add(layouts, whole);
}

void add_pair(std::vector<MemoryLayout>& layouts, const RamCandidate& low, const RamCandidate& high) {
    const bool is_low = std::any_of(std::begin(kHoleStarts), std::end(kHoleStarts),
                                    [&](std::uint64_t h) { return low.size == h; });
    if (!is_low) return;
    add(layouts, {fmt::format("mappings at {:#x} and, from 4 GiB on, {:#x}", low.host_start, high.host_start),
                  {{Gpa{0}, low.size, low.store_offset}, {Gpa{kFourGiB}, high.size, high.store_offset}},
                  false});
}

}  // namespace

std::vector<RamCandidate> find_ram_candidates(const std::vector<HostMapping>& maps) {
    const std::vector<HostMapping> joined = join_mappings(maps);
    std::vector<RamCandidate> found;
    for (std::size_t i = 0; i < joined.size(); ++i) {
        if (may_be_ram(joined[i]) && !looks_like_stack(joined, i))
            found.push_back({joined[i].start, joined[i].size(), 0});
    }
    std::stable_sort(found.begin(), found.end(),
                     [](const RamCandidate& a, const RamCandidate& b) { return a.size > b.size; });
    if (found.size() > kMaxRamCandidates) found.resize(kMaxRamCandidates);
    std::uint64_t offset = 0;
    for (RamCandidate& c : found) {
        c.store_offset = offset;
        offset += c.size;
    }
    return found;
}

std::vector<RamCandidate> with_parts(std::span<const RamCandidate> candidates, const std::vector<HostMapping>& maps) {
    std::vector<RamCandidate> parts;
    const auto add_part = [&](const RamCandidate& whole, std::uint64_t start, std::uint64_t end) {
        if (start < whole.host_start || end > whole.host_start + whole.size || start >= end || end - start < kSmallest)
            return;
        const RamCandidate part{start, end - start, whole.store_offset + (start - whole.host_start)};
        if (std::find(parts.begin(), parts.end(), part) == parts.end()) parts.push_back(part);
    };
    for (const RamCandidate& whole : candidates) {
        const std::uint64_t end = whole.host_start + whole.size;
        add_part(whole, whole.host_start, end);
        for (const HostMapping& m : maps) add_part(whole, m.start, m.end);
        add_part(whole, (whole.host_start + kHugePage - 1) / kHugePage * kHugePage, end);
    }
    return parts;
}

std::vector<MemoryLayout> layouts_of(std::span<const RamCandidate> candidates) {
    std::vector<MemoryLayout> layouts;
    // A pair whose lower part ends exactly at a hole is no accident.
    for (const RamCandidate& low : candidates) {
        for (const RamCandidate& high : candidates) {
            if (!(low == high)) add_pair(layouts, low, high);
        }
    }
    for (const RamCandidate& c : candidates) add_single(layouts, c);
    return layouts;
}

unsigned count_reachable(PhysicalMemory& memory, const VcpuState& vcpu) {
    const PagingMode mode = paging_mode_from_registers(vcpu.cr0, vcpu.cr4, vcpu.efer);
    if (mode == PagingMode::none) return 0;
    const std::uint64_t mask = mode == PagingMode::x86_pae  ? 0xffff'ffe0u
                               : mode == PagingMode::x86_32 ? 0xffff'f000u
                                                            : kPteAddressMask;
    const Gpa root{vcpu.cr3 & mask};
    const auto leads_to_ram = [&](std::uint64_t address) {
        const auto translation = translate(memory, mode, root, Gva{address});
        if (!translation) return false;
        std::byte probe{};
        return memory.read(translation->address, {&probe, 1}).has_value();
    };
    // Without the instruction's own page the vCPU could not run: this is the test, the others add to it.
    if (!leads_to_ram(vcpu.rip)) return 0;
    unsigned reached = 1;
    for (const std::uint64_t address : {vcpu.idt.base, vcpu.gdt.base, vcpu.cpl() == 0 ? vcpu.gs_base : vcpu.rip}) {
        if (leads_to_ram(address)) ++reached;
    }
    return reached;
}

}  // namespace vitrine
