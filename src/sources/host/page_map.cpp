#include "sources/host/page_map.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "vitrine/base/address.h"

namespace vitrine {
namespace {

// Documentation/admin-guide/mm/pagemap.rst
constexpr std::uint64_t kEntryPresent = 1ull << 63;
constexpr std::uint64_t kEntrySwapped = 1ull << 62;
constexpr std::uint64_t kEntryFileOrShared = 1ull << 61;

// include/uapi/linux/fs.h since 52526ca7fdb9 ("fs/proc/task_mmu: implement IOCTL to get and optionally clear info about
// PTEs", Linux 6.7); spelled out because Debian 12's headers are older.
constexpr std::uint64_t kPageIsFile = 1u << 2;
constexpr std::uint64_t kPageIsPresent = 1u << 3;
constexpr std::uint64_t kPageIsSwapped = 1u << 4;
constexpr std::uint64_t kPageIsPfnZero = 1u << 5;
struct PageRegion {
    std::uint64_t start, end, categories;
};
struct ScanArguments {
    std::uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    std::uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
static_assert(sizeof(ScanArguments) == 96);
constexpr unsigned long kPagemapScan = _IOWR('f', 16, ScanArguments);

constexpr std::size_t kPiece = 4096;  // pages looked up at once

void append(std::vector<HostRange>& ranges, std::uint64_t start, std::uint64_t size) {
    if (!ranges.empty() && ranges.back().start + ranges.back().size == start) ranges.back().size += size;
    else ranges.push_back({start, size});
}

}  // namespace

PageMap::PageMap(const HostProcess& process, Counting counting)
    : pid_(process.pid()),
      counting_(counting),
      pagemap_(::open(process.path("pagemap").c_str(), O_RDONLY | O_CLOEXEC)) {
    ScanArguments probe{};
    probe.size = sizeof(probe);
    // An empty range is scanned by every kernel that knows the call.
    can_scan_ = pagemap_ && ::ioctl(pagemap_.get(), kPagemapScan, &probe) >= 0;
}

std::string_view PageMap::route() const {
    return can_scan_ ? "PAGEMAP_SCAN" : pagemap_ ? "/proc/PID/pagemap" : "move_pages";
}

bool PageMap::read_entries(std::uint64_t start, std::span<std::uint8_t> flags) const {
    std::array<std::uint64_t, kPiece> entries;
    for (std::size_t done = 0; done < flags.size();) {
        const std::size_t count = std::min(flags.size() - done, entries.size());
        const auto position = static_cast<off_t>((start / kPageSize + done) * sizeof(std::uint64_t));
        const ssize_t n = ::pread(pagemap_.get(), entries.data(), count * sizeof(std::uint64_t), position);
        // 0: the process has ended.
        if (n < static_cast<ssize_t>(sizeof(std::uint64_t))) return false;
        const std::size_t got = static_cast<std::size_t>(n) / sizeof(std::uint64_t);
        for (std::size_t i = 0; i < got; ++i) {
            const std::uint64_t e = entries[i];
            const bool of_file = (e & kEntryFileOrShared) != 0 && counting_ == Counting::own_pages;
            flags[done + i] = (e & kEntrySwapped) != 0 || ((e & kEntryPresent) != 0 && !of_file) ? 1 : 0;
        }
        done += got;
    }
    return true;
}

// move_pages(2) says "nothing there" of swapped pages, too; VmSwap tells whether there are any.
bool PageMap::has_swapped_pages() {
    if (swap_checked_) return swapped_;
    swap_checked_ = true;
    constexpr std::string_view kLabel = "\nVmSwap:";
    const auto status = read_whole_file(fmt::format("/proc/{}/status", pid_), 64 * 1024);
    const std::size_t at = status ? status->find(kLabel) : std::string::npos;
    if (at == std::string::npos) return swapped_ = true;  // not known: be careful
    const std::size_t digit = status->find_first_not_of(" \t", at + kLabel.size());
    swapped_ = digit == std::string::npos || (*status)[digit] != '0';
    return swapped_;
}

bool PageMap::query_pages(std::uint64_t start, std::span<std::uint8_t> flags) {
    std::array<std::uint64_t, kPiece> pages;
    std::array<int, kPiece> states;
    const bool swapped = has_swapped_pages();
    for (std::size_t done = 0; done < flags.size();) {
        const std::size_t count = std::min(flags.size() - done, pages.size());
        for (std::size_t i = 0; i < count; ++i) pages[i] = start + (done + i) * kPageSize;
        if (::syscall(SYS_move_pages, pid_, count, pages.data(), nullptr, states.data(), 0) != 0) return false;
        // -EFAULT: the zero page, which a file's private mapping never has.
        for (std::size_t i = 0; i < count; ++i)
            flags[done + i] = states[i] >= 0 || (states[i] == -ENOENT && swapped) ? 1 : 0;
        done += count;
    }
    return true;
}

bool PageMap::look_up(std::uint64_t start, std::span<std::uint8_t> flags) {
    return pagemap_ ? read_entries(start, flags) : query_pages(start, flags);
}

std::optional<std::vector<HostRange>> PageMap::scan(std::uint64_t start, std::uint64_t size) const {
    std::array<PageRegion, 512> regions;
    std::vector<HostRange> found;
    const std::uint64_t end = start + size;
    while (start < end) {
        ScanArguments arguments{};
        arguments.size = sizeof(arguments);
        arguments.start = start;
        arguments.end = end;
        arguments.vec = reinterpret_cast<std::uintptr_t>(regions.data());
        arguments.vec_len = regions.size();
        // All of category_mask must hold (inverted ones must not), and one of category_anyof_mask.
        const std::uint64_t unwanted = kPageIsPfnZero | (counting_ == Counting::own_pages ? kPageIsFile : 0);
        arguments.category_inverted = unwanted;
        arguments.category_mask = unwanted;
        arguments.category_anyof_mask = kPageIsPresent | kPageIsSwapped;
        arguments.return_mask = kPageIsPresent;
        const int n = ::ioctl(pagemap_.get(), kPagemapScan, &arguments);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 || static_cast<std::size_t>(n) > regions.size()) return std::nullopt;
        for (const PageRegion& r : std::span(regions).first(static_cast<std::size_t>(n))) {
            if (r.end > r.start) append(found, r.start, r.end - r.start);
        }
        if (arguments.walk_end <= start) return std::nullopt;
        start = arguments.walk_end;
    }
    return found;
}

std::optional<std::vector<HostRange>> PageMap::ranges(std::uint64_t start, std::uint64_t size) {
    if (can_scan_) {
        if (auto found = scan(start, size)) return found;
    }
    std::vector<HostRange> found;
    std::array<std::uint8_t, kPiece> flags;
    for (std::uint64_t done = 0; done < size;) {
        const std::uint64_t pages = std::min<std::uint64_t>((size - done + kPageSize - 1) / kPageSize, kPiece);
        const auto piece = std::span(flags).first(static_cast<std::size_t>(pages));
        if (!look_up(start + done, piece)) return std::nullopt;
        for (std::size_t i = 0; i < piece.size(); ++i) {
            if (piece[i] != 0) append(found, start + done + i * kPageSize, kPageSize);
        }
        done += pages * kPageSize;
    }
    return found;
}

}  // namespace vitrine
