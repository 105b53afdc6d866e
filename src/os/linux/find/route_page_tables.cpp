#include <algorithm>
#include <array>
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
constexpr std::size_t kMaxProofs = 64;         // candidates handed on
constexpr std::chrono::milliseconds kPatience{1000};

struct Votes {
    std::uint32_t count = 0;
    std::array<std::uint64_t, kRootsKept> roots{};
    bool tried = false;
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
    Ballot(PhysicalMemory& memory, TryImage try_image) : memory_(memory), try_image_(try_image) {}

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

private:
    void add(std::uint64_t target, std::uint64_t root) {
        ++roots_seen_;
        if (targets_.size() >= kMaxTargets && !targets_.contains(target)) return;
        Votes& votes = targets_[target];
        if (votes.count < kRootsKept) votes.roots[votes.count] = root;
        ++votes.count;
    }

    std::uint64_t entry(std::uint64_t table, std::size_t index) {
        const auto value = memory_.read_value<std::uint64_t>(Gpa{table + index * 8});
        return value ? *value : 0;
    }

    // Does this table map something at the place of the kernel image (entry 510: a directory with an entry past 16 MiB)?
    bool maps_image(std::uint64_t level3) {
        const std::uint64_t directory = entry(level3, 510);
        if (!is_table_entry(directory)) return false;
        std::array<std::byte, kPageSize> table;
        if (!memory_.read(Gpa{directory & kPteAddressMask}, table)) return false;
        for (std::size_t i = 8; i < 512; ++i) {
            if ((load<std::uint64_t>(table.data() + i * 8) & 1) != 0) return true;
        }
        return false;
    }

    bool prove_target(std::uint64_t target, const Votes& votes) {
        if (maps_image(target) && prove_root(PagingMode::x86_64_4level, votes)) return true;
        const std::uint64_t below = entry(target, 511);
        return is_table_entry(below) && maps_image(below & kPteAddressMask) &&
               prove_root(PagingMode::x86_64_5level, votes);
    }

    bool prove_root(PagingMode mode, const Votes& votes) {
        // All roots of one target map the same image; the first readable one will do.
        const std::size_t known = std::min<std::size_t>(votes.count, kRootsKept);
        for (std::size_t i = 0; i < known; ++i) {
            if (proofs_ >= kMaxProofs) return false;
            auto image = image_of_root(memory_, mode, Gpa{votes.roots[i]});
            if (!image) continue;
            const bool data = std::any_of(image->runs.begin(), image->runs.end(),
                                          [](const MappedRun& run) { return run.writable; });
            if (!data) return false;  // the user half of page-table isolation: text only
            ++proofs_;
            image->route = FindRoute::page_tables;
            image->found_by = fmt::format("{} top-level page table{} share{} it", votes.count,
                                          votes.count == 1 ? "" : "s", votes.count == 1 ? "s" : "");
            return try_image_(std::move(*image));
        }
        return false;
    }

    PhysicalMemory& memory_;
    TryImage try_image_;
    std::vector<std::uint64_t> entries_;
    std::unordered_map<std::uint64_t, Votes> targets_;
    std::size_t roots_seen_ = 0;
    std::size_t proofs_ = 0;
    Patience patience_{kPatience};
};

}  // namespace

RouteReport find_by_page_tables(PhysicalMemory& memory, TryImage try_image, Progress progress) {
    RouteReport report;
    Ballot ballot(memory, try_image);
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
        "checks{}",
        ballot.roots_seen(), ballot.proofs(), ballot.gave_up() ? "; gave up at the limit of candidates" : "");
    return report;
}

}  // namespace vitrine::linux_os
