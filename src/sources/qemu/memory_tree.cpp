#include "sources/qemu/memory_tree.h"

#include <algorithm>

#include "sources/host/process.h"

namespace vitrine {
namespace {

constexpr std::size_t kMaxRanges = 1u << 16;

std::string_view next_line(std::string_view& text) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    while (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    return line;
}

bool take(std::string_view& text, std::string_view expected) {
    if (!text.starts_with(expected)) return false;
    text.remove_prefix(expected.size());
    return true;
}

std::optional<std::uint64_t> take_hex16(std::string_view& text) {
    const auto value = parse_hex(text.substr(0, 16));
    if (value) text.remove_prefix(std::min<std::size_t>(16, text.size()));
    return value;
}

std::optional<FlatRange> parse_range(std::string_view line) {
    FlatRange range;
    if (!take(line, "  ")) return std::nullopt;
    const auto first = take_hex16(line);
    if (!first || !take(line, "-")) return std::nullopt;
    const auto last = take_hex16(line);
    if (!last || *last < *first || !take(line, " (prio ")) return std::nullopt;
    const std::size_t comma = line.find(", ");
    const std::size_t close = line.find("): ");
    if (comma == std::string_view::npos || close == std::string_view::npos || comma + 2 > close) return std::nullopt;
    range.start = *first;
    range.size = *last - *first + 1;  // 0 for a range of all 2^64 bytes: never RAM
    range.type = line.substr(comma + 2, close - comma - 2);
    line.remove_prefix(close + 3);
    const std::size_t name_end = std::min(line.find(' '), line.size());
    range.region = line.substr(0, name_end);
    line.remove_prefix(name_end);
    if (const std::size_t at = line.find(" @"); at != std::string_view::npos) {
        std::string_view rest = line.substr(at + 2);
        const auto offset = take_hex16(rest);
        if (!offset) return std::nullopt;
        range.offset = *offset;
    }
    return range;
}

}  // namespace

Result<std::vector<FlatRange>> parse_flat_view(std::string_view text) {
    std::vector<FlatRange> ranges;
    bool wanted = false;  // inside the view that the address space "memory" uses
    bool found = false;
    while (!text.empty()) {
        const std::string_view line = next_line(text);
        if (line.starts_with("FlatView #")) wanted = false;
        if (line.starts_with(" AS \"memory\",")) wanted = found = true;
        if (!wanted || !line.starts_with("  ") || line.find("No rendered FlatView") != std::string_view::npos) continue;
        auto range = parse_range(line);
        if (!range) return Error::make(Errc::malformed, Origin::source, "the monitor's memory tree");
        if (ranges.size() >= kMaxRanges) return Error::make(Errc::limit, Origin::source, "the monitor's memory tree");
        ranges.push_back(std::move(*range));
    }
    if (!found || ranges.empty())
        return Error::make(Errc::not_found, Origin::source, "memory in the monitor's memory tree");
    for (std::size_t i = 1; i < ranges.size(); ++i) {
        const FlatRange& before = ranges[i - 1];
        if (before.size == 0 || ranges[i].start < before.start || ranges[i].start - before.start < before.size) {
            return Error::make(Errc::malformed, Origin::source, "the monitor's memory tree");
        }
    }
    return ranges;
}

std::optional<std::uint64_t> parse_gpa2hva(std::string_view text) {
    constexpr std::string_view kBegin = "Host virtual address for 0x";
    constexpr std::string_view kIs = ") is 0x";
    if (!text.starts_with(kBegin)) return std::nullopt;
    const std::size_t at = text.rfind(kIs);
    if (at == std::string_view::npos) return std::nullopt;
    std::string_view number = text.substr(at + kIs.size());
    while (!number.empty() && (number.back() == '\n' || number.back() == '\r')) number.remove_suffix(1);
    return parse_hex(number);
}

std::string backend_id_of_region(std::string_view region) {
    // Memory regions are QOM children, whose names may hold no slash: it is written \x2f in some places.
    for (const std::string_view prefix : {"/objects/", "\\x2fobjects\\x2f"}) {
        if (region.starts_with(prefix)) return std::string(region.substr(prefix.size()));
    }
    return std::string(region);
}

}  // namespace vitrine
