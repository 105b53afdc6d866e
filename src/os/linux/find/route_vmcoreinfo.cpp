#include <charconv>
#include <cstring>
#include <set>

#include <fmt/format.h>

#include "os/linux/find/page_scan.h"
#include "os/linux/find/patience.h"

namespace vitrine::linux_os {
namespace {

constexpr std::string_view kStart = "OSRELEASE=";
constexpr std::size_t kMaxImages = 64;    // different ones that are tried
constexpr std::size_t kMaxPlaces = 4096;  // remembered
constexpr std::chrono::milliseconds kPatience{3000};
// For reading pages of this text, which anybody can write.
constexpr std::chrono::milliseconds kReadingPatience{10'000};

// The value of a "KEY=value" line; nullopt when the key is missing or its value is no number in that base.
template <class T>
std::optional<T> number(std::string_view text, std::string_view key, int base) {
    std::size_t at = 0;
    while (at < text.size()) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        std::string_view line = text.substr(at, end - at);
        at = end + 1;
        if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != '=') continue;
        line.remove_prefix(key.size() + 1);
        T value{};
        const auto [rest, error] = std::from_chars(line.data(), line.data() + line.size(), value, base);
        if (error != std::errc{} || rest != line.data() + line.size()) return std::nullopt;
        return value;
    }
    return std::nullopt;
}

using Place = std::pair<Gpa, PagingMode>;  // of top-level tables

std::optional<Place> place_of_text(std::string_view text) {
    const auto root_va = number<std::uint64_t>(text, "SYMBOL(swapper_pg_dir)", 16);
    const auto phys_base = number<std::int64_t>(text, "NUMBER(phys_base)", 10);
    if (!root_va || !phys_base || *root_va < kStartKernelMap) return std::nullopt;
    const Gpa root{*root_va - kStartKernelMap + static_cast<std::uint64_t>(*phys_base)};
    const auto five = number<std::int64_t>(text, "NUMBER(pgtable_l5_enabled)", 10);
    const PagingMode mode = five.value_or(0) != 0 ? PagingMode::x86_64_5level : PagingMode::x86_64_4level;
    return Place{root, mode};
}

// Follows the pages' texts.
class Texts {
public:
    Texts(PhysicalMemory& memory, Patience& whole, TryImage try_image)
        : memory_(memory), try_image_(try_image), reading_(kReadingPatience, &whole), patience_(kPatience, &whole) {}

    // True when the page led to a kernel that was accepted.
    bool follow(Gpa page) {
        ++seen_;
        if (reading_.is_exhausted() || patience_.is_exhausted()) return false;
        std::optional<Place> place;
        {
            const Patience::Spending spending(reading_);
            std::array<char, kPageSize> text;
            if (!memory_.read(page, std::as_writable_bytes(std::span(text)))) return false;
            place = place_of_text({text.data(), strnlen(text.data(), text.size())});
        }
        // Pages that lead to the same place, or to none, keep no other from being followed.
        if (places_.size() == kMaxPlaces) places_.clear();
        if (!place || !places_.insert(*place).second) return false;
        const Patience::Spending spending(patience_);
        auto image = image_of_root(memory_, place->second, place->first);
        if (!image || !image->covers(place->first)) return false;
        if (images_ == kMaxImages) {
            full_ = true;
            return false;
        }
        ++images_;
        image->route = FindRoute::vmcoreinfo;
        image->found_by = fmt::format("VMCOREINFO at {:#x}", page.value);
        return try_image_(std::move(*image));
    }

    [[nodiscard]] std::string account() const {
        return fmt::format(
            "VMCOREINFO: {} page{} with that text, none leads to a kernel that passes the checks{}", seen_,
            seen_ == 1 ? "" : "s",
            full_ || reading_.is_exhausted() || patience_.is_exhausted() ? "; gave up at the limit of candidates" : "");
    }

private:
    PhysicalMemory& memory_;
    TryImage try_image_;
    Patience reading_, patience_;
    std::set<Place> places_;
    std::size_t images_ = 0;
    std::size_t seen_ = 0;
    bool full_ = false;
};

}  // namespace

RouteReport find_by_vmcoreinfo(PhysicalMemory& memory, Patience& whole, TryImage try_image, Progress progress) {
    RouteReport report;
    Texts texts(memory, whole, try_image);
    report.accepted = for_each_page_start<kStart.size()>(memory, progress, [&](Gpa page, const std::byte* bytes) {
        return std::memcmp(bytes, kStart.data(), kStart.size()) == 0 && texts.follow(page);
    });
    if (!report.accepted) report.account = texts.account();
    return report;
}

}  // namespace vitrine::linux_os
