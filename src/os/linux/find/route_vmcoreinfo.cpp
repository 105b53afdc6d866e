#include <charconv>
#include <cstring>

#include <fmt/format.h>

#include "os/linux/find/page_scan.h"
#include "os/linux/find/patience.h"

namespace vitrine::linux_os {
namespace {

constexpr std::string_view kStart = "OSRELEASE=";
constexpr std::size_t kMaxPages = 32;  // pages of this text that are followed
constexpr std::chrono::milliseconds kPatience{1000};

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

std::optional<KernelImage> image_of_text(PhysicalMemory& memory, std::string_view text, Gpa page) {
    const auto root_va = number<std::uint64_t>(text, "SYMBOL(swapper_pg_dir)", 16);
    const auto phys_base = number<std::int64_t>(text, "NUMBER(phys_base)", 10);
    if (!root_va || !phys_base || *root_va < kStartKernelMap) return std::nullopt;
    const Gpa root{*root_va - kStartKernelMap + static_cast<std::uint64_t>(*phys_base)};
    const auto five = number<std::int64_t>(text, "NUMBER(pgtable_l5_enabled)", 10);
    const PagingMode mode = five.value_or(0) != 0 ? PagingMode::x86_64_5level : PagingMode::x86_64_4level;
    auto image = image_of_root(memory, mode, root);
    if (!image) return std::nullopt;
    image->route = FindRoute::vmcoreinfo;
    image->found_by = fmt::format("VMCOREINFO at {:#x}", page.value);
    return std::move(*image);
}

}  // namespace

RouteReport find_by_vmcoreinfo(PhysicalMemory& memory, TryImage try_image, Progress progress) {
    RouteReport report;
    std::size_t texts = 0;
    Patience patience(kPatience);
    report.accepted = for_each_page_start<kStart.size()>(memory, progress, [&](Gpa page, const std::byte* bytes) {
        if (std::memcmp(bytes, kStart.data(), kStart.size()) != 0) return false;
        if (++texts > kMaxPages || patience.is_exhausted()) return false;
        const Patience::Spending spending(patience);
        std::array<char, kPageSize> text;
        if (!memory.read(page, std::as_writable_bytes(std::span(text)))) return false;
        auto image = image_of_text(memory, {text.data(), strnlen(text.data(), text.size())}, page);
        return image && try_image(std::move(*image));
    });
    if (!report.accepted) {
        report.account = fmt::format(
            "VMCOREINFO: {} page{} with that text, none leads to a kernel that passes the checks", texts,
            texts == 1 ? "" : "s");
    }
    return report;
}

}  // namespace vitrine::linux_os
