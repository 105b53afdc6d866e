#include "sources/qemu/wanted_blocks.h"

#include <algorithm>
#include <utility>

#include "vitrine/base/address.h"

namespace vitrine {
namespace {

constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint64_t kGiB = 1u << 30;
constexpr std::size_t kMaxBlocks = 128;  // MAX_NODES in QEMU

bool is_rounded_up(std::uint64_t mapped, std::uint64_t wanted, std::uint64_t page) {
    return mapped % page == 0 && mapped > wanted && mapped - wanted < page;
}

bool fits(const HostMapping& m, const WantedBlock& block) {
    if (m.size() == block.size) return true;
    // A file on hugetlbfs is mapped in whole huge pages.
    return m.is_file() && (is_rounded_up(m.size(), block.size, 2 * kMiB) || is_rounded_up(m.size(), block.size, kGiB));
}

bool is_expected_kind(const HostMapping& m, const WantedBlock& block) {
    const bool memfd = m.path.starts_with("/memfd:");
    if (block.type == "memory-backend-memfd") return memfd;
    if (block.type == "memory-backend-file") return m.is_file() && !memfd;
    return true;
}

bool is_at_path(const HostMapping& m, const WantedBlock& block) {
    return !block.path.empty() && m.path.starts_with(block.path);
}

// Mappings of the block's size, likeliest first.
std::vector<Candidate> fitting_mappings(const WantedBlock& block, const std::vector<HostMapping>& maps) {
    std::vector<const HostMapping*> fitting;
    for (const HostMapping& m : maps) {
        if (may_be_ram(m) && fits(m, block)) fitting.push_back(&m);
    }
    const auto rank = [&](const HostMapping* m) {
        return (is_expected_kind(*m, block) ? 0 : 4) + (is_at_path(*m, block) || block.path.empty() ? 0 : 2) +
               (has_guard_behind(maps, *m) ? 0 : 1);
    };
    // mmap() goes downwards: what was allocated first lies highest.
    std::sort(fitting.begin(), fitting.end(), [&](const HostMapping* a, const HostMapping* b) {
        return std::pair(rank(a), ~a->start) < std::pair(rank(b), ~b->start);
    });
    // A mapping of another kind, or another file, counts only where there is none of the right one.
    std::vector<Candidate> candidates;
    for (const HostMapping* m : fitting) {
        if (rank(m) / 2 == rank(fitting.front()) / 2) candidates.push_back({m->start, m->is_file()});
    }
    return candidates;
}

}  // namespace

std::uint64_t mapped_size(const WantedBlock& block) { return (block.size + kPageSize - 1) / kPageSize * kPageSize; }

bool may_be_ram(const HostMapping& m) { return m.readable && m.writable && !m.executable && !m.path.starts_with("["); }

bool has_guard_behind(const std::vector<HostMapping>& maps, const HostMapping& m) {
    const auto next = std::lower_bound(maps.begin(), maps.end(), m.end,
                                       [](const HostMapping& a, std::uint64_t start) { return a.start < start; });
    return next != maps.end() && next->start == m.end && !next->readable && !next->writable;
}

std::vector<Candidate> candidates_for(const WantedBlock& block, const std::vector<HostMapping>& maps,
                                      const std::vector<HostMapping>& joined) {
    std::vector<Candidate> candidates = fitting_mappings(block, maps);
    if (candidates.empty()) candidates = fitting_mappings(block, joined);
    if (!candidates.empty()) return candidates;
    for (const HostMapping& m : joined) {
        const bool larger = may_be_ram(m) && !m.is_file() && m.size() > block.size && has_guard_behind(joined, m);
        if (larger && (m.end - block.size) % (2 * kMiB) == 0) candidates.push_back({m.end - block.size, false});
    }
    return candidates;
}

std::vector<WantedBlock> wanted_blocks(const QemuCommandLine& line) {
    std::vector<WantedBlock> blocks;
    const auto add_backend = [&](const std::string& id) {
        const auto found = std::find_if(line.backends.begin(), line.backends.end(),
                                        [&](const MemoryBackend& b) { return b.id == id; });
        if (found == line.backends.end()) return false;
        const std::uint64_t size = found->size != 0 ? found->size : line.memory_size;
        blocks.push_back({id, found->type, found->path, size, static_cast<std::size_t>(found - line.backends.begin())});
        return true;
    };
    bool complete = !line.numa_backends.empty() && line.numa_backends.size() <= kMaxBlocks;
    for (const std::string& id : line.numa_backends) complete = complete && add_backend(id);
    if (complete) return blocks;
    blocks.clear();
    if (!line.memory_backend.empty() && add_backend(line.memory_backend)) return blocks;
    blocks.push_back({"main memory", {}, line.memory_path, line.memory_size, 0});
    return blocks;
}

}  // namespace vitrine
