#include <algorithm>
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include "os/linux/find/patience.h"
#include "os/linux/find/routes.h"
#include "os/linux/kernel_symbols.h"
#include "symbols/kallsyms/token_table.h"
#include "vitrine/symbols/kallsyms.h"

namespace vitrine::linux_os {
namespace {

// The token table of kallsyms: digits occur in symbol names, so the tokens '0' to '9' always stand for themselves.
constexpr std::string_view kAnchor{
    "0\0"
    "1\0"
    "2\0"
    "3\0"
    "4\0"
    "5\0"
    "6\0"
    "7\0"
    "8\0"
    "9\0",
    20};
constexpr std::uint64_t kChunk = 4u << 20;
constexpr std::uint64_t kAround =
    16u << 20;  // tables and banner lie within this distance of the anchor: read-only data has some 14 MiB
// The symbol tables behind a window's centre are looked at with it. One that begins this little behind was wholly inside.
constexpr std::uint64_t kJudged = 2u << 20;
// Anchors of one chunk that are looked at more closely. Honest guests have up to 20 in all (NLS tables, page cache). Counted for each chunk
// alone: those that a process fills its memory with do not hide the kernel's.
constexpr std::size_t kMaxAnchorsOfChunk = 256;
constexpr std::uint64_t kTokens = 16u << 10;  // token tables have a kilobyte
constexpr std::size_t kMaxWindows = 1024;
constexpr int kShare = 3;  // of the attach's patience, this part: 20 s if nothing else is asked for

struct Window {
    Gpa start;
    std::vector<std::byte> bytes;
};

// As a scan reads: pages that cannot be read are zeros, and a recording keeps none of it. False: the source is gone.
bool read_over(PhysicalMemory& memory, Gpa start, std::span<std::byte> out) {
    const std::size_t whole = out.size() / kPageSize * kPageSize;
    const auto rest = static_cast<std::uint32_t>(out.size() - whole);
    return memory.read_strided(start, kPageSize, kPageSize, whole / kPageSize, out.first(whole)) &&
           memory.read_strided(start.wrap_plus(whole), kPageSize, rest, 1, out.subspan(whole));
}

// The RAM around an address, cut to the range it lies in; pages that cannot be read are zeros.
Window read_window(PhysicalMemory& memory, Gpa centre, std::uint64_t around) {
    Window window;
    for (const MemoryRange& range : memory.ranges()) {
        if (centre < range.start || centre.value - range.start.value >= range.size) continue;
        const std::uint64_t offset = centre.value - range.start.value;
        const std::uint64_t before = std::min(offset, around) / kPageSize * kPageSize;
        const std::uint64_t first = (centre.value - before) / kPageSize * kPageSize;
        const std::uint64_t last = std::min(range.start.value + range.size, centre.value + around);
        window.start = Gpa{std::max(first, range.start.value)};
        window.bytes.resize(static_cast<std::size_t>(last - window.start.value));
        if (!read_over(memory, window.start, window.bytes)) window.bytes.clear();
        break;
    }
    return window;
}

// Text in UTF-16 has the anchor's bytes, too; a token table has its index behind it.
bool has_token_table(PhysicalMemory& memory, Gpa anchor) {
    const Window window = read_window(memory, anchor, kTokens);
    return !window.bytes.empty() &&
           kallsyms::locate_token_table(ByteView(window.bytes), anchor.value - window.start.value).has_value();
}

// Turns symbol addresses into page tables. Place-relative symbols were computed as if the window were mapped at its physical
// address, so each symbol's value *is* its physical address; others are virtual, and linux_banner's text in the window tells
// the distance.
std::optional<KernelImage> image_of_symbols(PhysicalMemory& memory, const Window& window,
                                            const KallsymsLayout& layout) {
    static constexpr std::array<std::string_view, 3> kWanted = {"linux_banner", "phys_base", "init_top_pgt"};
    const bool relative = layout.addressing == KallsymsAddressing::place_relative;
    const std::optional<Gva> as_if = relative ? std::optional(Gva{window.start.value}) : std::nullopt;
    const auto found = lookup_kallsyms(window.bytes, as_if, layout, kWanted);
    if (!found[0] || !found[1] || !found[2]) return std::nullopt;
    constexpr std::string_view kBanner = "Linux version ";
    std::size_t from = 0;
    while (true) {
        const auto* hit = static_cast<const std::byte*>(
            memmem(window.bytes.data() + from, window.bytes.size() - from, kBanner.data(), kBanner.size()));
        if (hit == nullptr) return std::nullopt;
        const std::size_t at = static_cast<std::size_t>(hit - window.bytes.data());
        from = at + 1;
        const std::uint64_t delta = window.start.value + at - found[0]->value;  // physical - symbol value
        if (relative ? delta != 0 : delta % (2u << 20) != 0) continue;
        const auto phys_base = memory.read_value<std::uint64_t>(Gpa{found[1]->value + delta});
        const Gpa root{found[2]->value + delta};
        if (!phys_base || (!relative && *phys_base != delta + kStartKernelMap)) continue;
        for (const PagingMode mode : {PagingMode::x86_64_4level, PagingMode::x86_64_5level}) {
            auto image = image_of_root(memory, mode, root);
            if (image) return std::move(*image);
        }
    }
}

// What the symbol tables from an anchor on lead to. The copy of the window is gone when they are tried.
std::vector<KernelImage> images_from(PhysicalMemory& memory, Gpa anchor) {
    std::vector<KernelImage> images;
    const Window window = read_window(memory, anchor, kAround);
    const auto layouts = find_kallsyms(window.bytes, std::nullopt,
                                       static_cast<std::size_t>(anchor.value - window.start.value));
    if (!layouts) return images;
    for (const KallsymsLayout& layout : *layouts) {
        auto image = image_of_symbols(memory, window, layout);
        if (!image) continue;
        image->route = FindRoute::scan;
        image->found_by = fmt::format("symbol table at physical {:#x}", window.start.value + layout.token_table);
        images.push_back(std::move(*image));
    }
    return images;
}

// Follows anchors in the order of their addresses.
class AnchorSearch {
public:
    AnchorSearch(PhysicalMemory& memory, Patience& whole, TryImage try_image)
        : memory_(memory), try_image_(try_image), patience_(whole.most() / kShare, &whole) {}

    // True when one led to a kernel that was accepted.
    bool search(Gpa start, std::span<const std::byte> chunk) {
        std::size_t from = 0;
        for (std::size_t looked = 0; from < chunk.size(); ++looked) {
            const void* hit = memmem(chunk.data() + from, chunk.size() - from, kAnchor.data(), kAnchor.size());
            if (hit == nullptr) return false;
            if (looked == kMaxAnchorsOfChunk) break;
            from = static_cast<std::size_t>(static_cast<const std::byte*>(hit) - chunk.data()) + 1;
            ++anchors_;
            if (follow(start.wrap_plus(from - 1))) return true;
        }
        left_out_ = left_out_ || from < chunk.size();
        return false;
    }

    [[nodiscard]] std::string account() const {
        return fmt::format(
            "full scan: {} place{} look like a symbol table, none leads to a kernel that passes the checks{}", anchors_,
            anchors_ == 1 ? "" : "s", left_out_ ? "; gave up at the limit of candidates" : "");
    }

private:
    bool follow(Gpa anchor) {
        if (windows_ != 0 && anchor >= judged_from_ && anchor.value - judged_from_.value < kJudged) return false;
        if (windows_ == kMaxWindows || patience_.is_exhausted()) {
            left_out_ = true;
            return false;
        }
        const Patience::Spending spending(patience_);
        if (!has_token_table(memory_, anchor)) return false;
        ++windows_;
        judged_from_ = anchor;
        for (KernelImage& image : images_from(memory_, anchor)) {
            if (try_image_(std::move(image))) return true;
        }
        return false;
    }

    PhysicalMemory& memory_;
    TryImage try_image_;
    Patience patience_;
    Gpa judged_from_;
    std::size_t anchors_ = 0;
    std::size_t windows_ = 0;
    bool left_out_ = false;
};

}  // namespace

RouteReport find_by_scan(PhysicalMemory& memory, Patience& whole, TryImage try_image, Progress progress) {
    RouteReport report;
    const std::uint64_t total = memory.total_size();
    std::uint64_t seen = 0;
    std::vector<std::byte> chunk;
    AnchorSearch anchors(memory, whole, try_image);
    for (const MemoryRange& range : memory.ranges()) {
        for (const MemoryRange& part : memory.populated(range)) {
            for (std::uint64_t at = 0; at < part.size; at += kChunk) {
                // Overlaps the next chunk by the anchor's length.
                const std::uint64_t size = std::min(kChunk + kAnchor.size(), part.size - at);
                chunk.resize(static_cast<std::size_t>(size));
                seen += std::min(kChunk, part.size - at);
                progress(static_cast<double>(seen) / static_cast<double>(total));
                if (!read_over(memory, part.start.wrap_plus(at), chunk)) continue;
                if (anchors.search(part.start.wrap_plus(at), chunk)) {
                    report.accepted = true;
                    return report;
                }
            }
        }
    }
    report.account = anchors.account();
    return report;
}

}  // namespace vitrine::linux_os
