#include <algorithm>
#include <array>
#include <optional>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>

#include "os/linux/find/patience.h"
#include "os/linux/find/routes.h"

namespace vitrine::linux_os {
namespace {

constexpr std::uint64_t kChunk = 64u << 20;  // looked at between two attempts to prove something
constexpr std::uint64_t kLastEntry = 511 * 8;
constexpr std::size_t kRootsKept = 8;          // roots remembered for one target
constexpr std::size_t kMaxTargets = 1u << 16;  // a hostile guest can fill RAM with entries; honest ones give hundreds
constexpr std::size_t kMaxDirectories = 1u << 12;
constexpr std::size_t kMaxProofs = 64;  // candidates handed on
constexpr std::chrono::milliseconds kPatience{3000};

struct Votes {
    std::uint32_t count = 0;
    std::array<std::uint64_t, kRootsKept> roots{};
    bool tried = false;
    bool leads = false;  // to something mapped where the image is; looked at only when room is needed
};

// What the page directory of a would-be image maps. Any number of forged tables can share one.
struct Extent {
    Gpa begin, end;  // equal: no image
};

// A present table entry without the page-size bit and with no reserved bit, as the kernel writes it into slot 511.
bool is_table_entry(std::uint64_t entry) {
    constexpr std::uint64_t kPresentWritable = 3, kPageSizeBit = 1u << 7, kReserved = 0x7ff0'0000'0000'0000;
    return (entry & kPresentWritable) == kPresentWritable && (entry & kPageSizeBit) == 0 && (entry & kReserved) == 0 &&
           (entry & kPteAddressMask) != 0;
}

bool in_ram(std::span<const MemoryRange> ranges, std::uint64_t page) {
    const auto after = std::upper_bound(
        ranges.begin(), ranges.end(), page,
        [](std::uint64_t value, const MemoryRange& r) { return value < r.start.value; });
    if (after == ranges.begin()) return false;
    const MemoryRange& range = *std::prev(after);
    return page - range.start.value < range.size && range.size - (page - range.start.value) >= kPageSize;
}

class Ballot {
public:
    Ballot(PhysicalMemory& memory, Patience& whole, TryImage try_image)
        : memory_(memory), try_image_(try_image), patience_(kPatience, &whole) {}

    void count(MemoryRange chunk) {
        const std::size_t pages = static_cast<std::size_t>(chunk.size / kPageSize);
        entries_.assign(pages, 0);
        if (!memory_.read_strided(chunk.start.wrap_plus(kLastEntry), kPageSize, 8, pages,
                                  std::as_writable_bytes(std::span(entries_))))
            return;
        for (std::size_t i = 0; i < pages; ++i) {
            if (!is_table_entry(entries_[i])) continue;
            const std::uint64_t target = entries_[i] & kPteAddressMask;
            if (!in_ram(memory_.ranges(), target)) continue;
            add(target, chunk.start.value + i * kPageSize);
        }
    }

    // Tries targets with at least `least` votes that were not tried with as many roots known; true when one was accepted.
    bool prove(std::uint32_t least) {
        std::vector<std::pair<std::uint32_t, std::uint64_t>> order;
        for (auto& [target, votes] : targets_) {
            if (votes.count >= least && !votes.tried) order.emplace_back(votes.count, target);
        }
        std::sort(order.begin(), order.end(), std::greater<>());
        for (const auto& [count, target] : order) {
            if (patience_.is_exhausted()) return false;
            const Patience::Spending spending(patience_);
            Votes& votes = targets_[target];
            votes.tried = true;
            if (prove_target(target, votes)) return true;
        }
        return false;
    }

    [[nodiscard]] std::size_t roots_seen() const { return roots_seen_; }
    [[nodiscard]] std::size_t proofs() const { return proofs_; }
    [[nodiscard]] bool gave_up() const { return patience_.is_exhausted() || proofs_ >= kMaxProofs; }
    [[nodiscard]] std::size_t dropped() const { return dropped_; }

private:
    void add(std::uint64_t target, std::uint64_t root) {
        ++roots_seen_;
        if (targets_.size() >= kMaxTargets && !targets_.contains(target)) make_room();
        Votes& votes = targets_[target];
        if (votes.count < kRootsKept) votes.roots[votes.count] = root;
        ++votes.count;
    }

    // Entries anybody can write, so they must not keep out the kernel's: first those go that lead nowhere, then, when that is not
    // enough, those with the fewest votes. A page that is dropped and seen again starts anew.
    void make_room() {
        for (auto& [target, votes] : targets_) {
            votes.leads = votes.leads || directory_of(target, PagingMode::x86_64_4level) ||
                          directory_of(target, PagingMode::x86_64_5level);
        }
        std::erase_if(targets_, [](const auto& known) { return !known.second.leads; });
        for (std::uint32_t most = 1; targets_.size() > kMaxTargets / 2; most *= 2) {
            dropped_ += std::erase_if(targets_, [most](const auto& known) { return known.second.count <= most; });
        }
    }

    std::uint64_t entry(std::uint64_t table, std::size_t index) {
        const auto value = memory_.read_value<std::uint64_t>(Gpa{table + index * 8});
        return value ? *value : 0;
    }

    // The page directory through which this table, one below the top, maps the place of the kernel image: one with an entry past 16 MiB.
    std::optional<std::uint64_t> directory_of(std::uint64_t target, PagingMode mode) {
        if (mode == PagingMode::x86_64_5level) {
            const std::uint64_t below = entry(target, 511);
            if (!is_table_entry(below)) return std::nullopt;
            target = below & kPteAddressMask;
        }
        const std::uint64_t directory = entry(target, 510);
        if (!is_table_entry(directory)) return std::nullopt;
        std::array<std::byte, kPageSize> table;
        if (!memory_.read(Gpa{directory & kPteAddressMask}, table)) return std::nullopt;
        for (std::size_t i = 8; i < 512; ++i) {
            if ((load<std::uint64_t>(table.data() + i * 8) & 1) != 0) return directory & kPteAddressMask;
        }
        return std::nullopt;
    }

    bool prove_target(std::uint64_t target, const Votes& votes) {
        for (const PagingMode mode : {PagingMode::x86_64_4level, PagingMode::x86_64_5level}) {
            const auto directory = directory_of(target, mode);
            if (directory && prove_root(mode, Gpa{target}, *directory, votes)) return true;
        }
        return false;
    }

    bool prove_root(PagingMode mode, Gpa target, std::uint64_t directory, const Votes& votes) {
        const auto known = extents_.find(directory);
        if (known != extents_.end() && (target < known->second.begin || target >= known->second.end)) return false;
        // All roots of one target map the same image; the first readable one will do.
        const std::size_t roots = std::min<std::size_t>(votes.count, kRootsKept);
        for (std::size_t i = 0; i < roots; ++i) {
            if (proofs_ >= kMaxProofs) return false;
            auto image = image_of_root(memory_, mode, Gpa{votes.roots[i]});
            remember(directory, image);
            if (!image) continue;
            // The user half of page-table isolation has text only.
            if (!image->has_writable() || !image->covers(target)) return false;
            ++proofs_;
            image->route = FindRoute::page_tables;
            image->found_by = fmt::format("{} top-level page table{} share{} it", votes.count,
                                          votes.count == 1 ? "" : "s", votes.count == 1 ? "s" : "");
            return try_image_(std::move(*image));
        }
        return false;
    }

    void remember(std::uint64_t directory, const Result<KernelImage>& image) {
        if (extents_.size() >= kMaxDirectories) extents_.clear();
        Extent& extent = extents_[directory];
        if (!image || !image->has_writable()) return;
        extent = {image->runs.front().pa, image->runs.back().pa.wrap_plus(image->runs.back().size)};
    }

    PhysicalMemory& memory_;
    TryImage try_image_;
    std::vector<std::uint64_t> entries_;
    std::unordered_map<std::uint64_t, Votes> targets_;
    std::unordered_map<std::uint64_t, Extent> extents_;  // by page directory
    std::size_t roots_seen_ = 0;
    std::size_t proofs_ = 0;
    std::size_t dropped_ = 0;
    Patience patience_;
};

}  // namespace

RouteReport find_by_page_tables(PhysicalMemory& memory, Patience& whole, TryImage try_image, Progress progress) {
    RouteReport report;
    Ballot ballot(memory, whole, try_image);
    const std::uint64_t total = memory.total_size();
    std::uint64_t seen = 0;
    for (const MemoryRange& range : memory.ranges()) {
        std::uint64_t at = (range.start.value + kPageSize - 1) / kPageSize * kPageSize;
        const std::uint64_t end = range.start.value + range.size;
        while (at < end && end - at >= kPageSize) {
            const std::uint64_t size = std::min(kChunk, end - at) / kPageSize * kPageSize;
            for (const MemoryRange& part : memory.populated({Gpa{at}, size})) {
                const std::uint64_t first = part.start.value / kPageSize * kPageSize;
                const std::uint64_t last = std::min(
                    end, (part.start.value + part.size + kPageSize - 1) / kPageSize * kPageSize);
                ballot.count({Gpa{first}, (last - first) / kPageSize * kPageSize});
            }
            at += size;
            seen += size;
            progress(static_cast<double>(seen) / static_cast<double>(total));
            // Two roots that agree are worth a try at once; single ones (the kernel's own tables with 5 levels) at the end.
            if (ballot.prove(2)) {
                report.accepted = true;
                return report;
            }
        }
    }
    if (ballot.prove(1)) {
        report.accepted = true;
        return report;
    }
    report.account = fmt::format(
        "page tables: {} pages look like a top-level table, {} map something like a kernel image, none passes the "
        "checks{}{}",
        ballot.roots_seen(), ballot.proofs(),
        ballot.dropped() != 0 ? fmt::format("; {} left out for want of room", ballot.dropped()) : "",
        ballot.gave_up() ? "; gave up at the limit of candidates" : "");
    return report;
}

}  // namespace vitrine::linux_os
