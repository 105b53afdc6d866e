#include "symbols/kallsyms/locate_names.h"

#include <algorithm>

#include "symbols/kallsyms/limits.h"
#include "symbols/kallsyms/reader.h"

namespace vitrine::kallsyms {
namespace {

constexpr std::size_t kMaxMarkerCandidates = 8;
constexpr std::size_t kMaxVerifications = 16;
constexpr std::uint64_t kMaxPadding = 8;

std::optional<std::uint64_t> element(ByteView region, std::uint64_t at, std::uint8_t size) {
    if (size == 8) return region.u64(at);
    const auto value = region.u32(at);
    return value ? std::optional<std::uint64_t>(*value) : std::nullopt;
}

bool is_step(std::uint64_t from, std::uint64_t to) {
    return to > from && to - from >= kMinMarkerStep && to - from <= kMaxMarkerStep;
}

// The run of markers that ends at `end`, walked backwards to its 0.
std::optional<MarkersPlace> markers_ending_at(ByteView region, std::uint64_t end, std::uint8_t size) {
    if (end < size) return std::nullopt;
    std::uint64_t at = end - size;
    auto value = element(region, at, size);
    std::uint32_t count = 1;
    while (value && *value != 0) {
        if (at < size || count == kMaxMarkers) return std::nullopt;
        const auto before = element(region, at - size, size);
        if (!before || !is_step(*before, *value)) return std::nullopt;
        value = before;
        at -= size;
        ++count;
    }
    if (!value || count < kMinMarkers) return std::nullopt;
    return MarkersPlace{at, count, size, 0};
}

// Which entry size of seqs_of_names fills the gap between `count` markers and the token table; 0: none.
std::uint8_t seqs_filling(std::uint64_t gap, std::uint64_t count) {
    for (const std::uint8_t size : {std::uint8_t{3}, std::uint8_t{4}}) {
        const std::uint64_t fewest = size * (kNamesPerMarker * (count - 1) + 1);
        const std::uint64_t most = size * kNamesPerMarker * count + 2 * kMaxPadding;
        if (gap >= fewest && gap <= most) return size;
    }
    return 0;
}

// Rising run from the 0 at `start`; its length is bounded by the next 0, so scanning all starts is linear.
std::uint32_t run_length(ByteView region, std::uint64_t start, std::uint64_t end) {
    std::uint32_t count = 1;
    std::uint32_t last = 0;
    for (std::uint64_t at = start + 4; at < end && count <= kMaxMarkers; at += 4, ++count) {
        const auto value = region.u32(at);
        if (!value || !is_step(last, *value)) break;
        last = *value;
    }
    return count;
}

// The run of markers from `start`, or all of it but the last when the first bytes of the seqs happened to continue it.
std::optional<MarkersPlace> markers_with_seqs(ByteView region, std::uint64_t start, std::uint64_t token_table) {
    const std::uint32_t count = run_length(region, start, token_table);
    for (std::uint32_t shorter = count; shorter >= kMinMarkers && shorter + 1 >= count; --shorter) {
        const std::uint64_t gap = token_table - (start + std::uint64_t{shorter} * 4);
        const std::uint8_t size = seqs_filling(gap, shorter);
        if (size != 0) return MarkersPlace{start, shorter, 4, size};
    }
    return std::nullopt;
}

// Walks all n names. True when every 256th begins where its marker says and the last ends just before the markers.
bool names_match(ByteView region, const MarkersPlace& markers, std::uint64_t names, std::uint32_t n, bool uleb,
                 WorkBudget& budget) {
    const auto area = region.span().first(static_cast<std::size_t>(markers.at));
    std::uint64_t at = names;
    for (std::uint32_t block = 0; block < markers.count; ++block) {
        if (budget.names < kNamesPerMarker) return false;
        budget.names -= kNamesPerMarker;
        const auto marker = element(region, markers.at + std::uint64_t{block} * markers.element_size,
                                    markers.element_size);
        if (!marker || at - names != *marker) return false;
        const std::uint32_t left = n - block * static_cast<std::uint32_t>(kNamesPerMarker);
        for (std::uint32_t i = std::min<std::uint32_t>(left, kNamesPerMarker); i != 0; --i) {
            const auto name = packed_name_at(area, uleb, at);
            if (!name) return false;
            at = name->next;
        }
    }
    return markers.at - at < kMaxPadding;
}

// num_syms in front of `names`, for tables aligned to 8 (also a 64-bit num_syms, before 4.20) or to 4 (from 7.0 on).
std::optional<NamesPlace> num_syms_before(ByteView region, std::uint64_t names, std::uint32_t markers) {
    const auto near = region.u32(names - 4);
    if (!near) return std::nullopt;
    NamesPlace place{names, names - 4, 4, *near, false};
    if (*near == 0 && names >= 8) {
        const auto far = region.u32(names - 8);
        if (!far) return std::nullopt;
        place = {names, names - 8, 8, *far, false};
    }
    const std::uint64_t most = std::uint64_t{markers} * kNamesPerMarker;
    if (place.num_syms > most || place.num_syms + kNamesPerMarker <= most || place.num_syms > kMaxSymbols)
        return std::nullopt;
    return place;
}

}  // namespace

std::size_t locate_markers(ByteView region, std::uint64_t token_table, FunctionRef<bool(const MarkersPlace&)> accept) {
    std::size_t handed = 0;
    for (const std::uint64_t padding : {0u, 4u}) {
        if (token_table < padding) continue;
        for (const std::uint8_t size : {std::uint8_t{4}, std::uint8_t{8}}) {  // 80ffbaa5b1bd (4.20) made them 4
            const auto place = markers_ending_at(region, token_table - padding, size);
            if (!place) continue;
            ++handed;
            if (accept(*place)) return handed;
        }
    }
    constexpr std::uint64_t kFarthest = (kMaxSymbols + kMaxMarkers) * 4 + 4 * kMaxPadding;
    const std::uint64_t lowest = token_table > kFarthest ? token_table - kFarthest : token_table % 4;
    for (std::uint64_t at = token_table; at >= lowest + 4 && handed < kMaxMarkerCandidates;) {
        at -= 4;
        if (region.u32(at) != 0u) continue;
        const auto place = markers_with_seqs(region, at, token_table);
        if (!place) continue;
        ++handed;
        if (accept(*place)) return handed;
    }
    return handed;
}

std::optional<NamesPlace> locate_names(ByteView region, const MarkersPlace& markers, WorkBudget& budget) {
    const auto last = element(region, markers.at + std::uint64_t{markers.count - 1} * markers.element_size,
                              markers.element_size);
    if (!last || *last > markers.at) return std::nullopt;
    const std::uint64_t highest = (markers.at - *last) - (*last % 4 == 0 ? 0 : 4 - *last % 4);
    const std::uint64_t lowest = highest > kMaxMarkerStep ? highest - kMaxMarkerStep : 0;
    std::size_t verifications = 0;
    for (std::uint64_t names = highest; names >= lowest + 4 && names <= markers.at; names -= 4) {
        auto place = num_syms_before(region, names, markers.count);
        if (!place) continue;
        for (const bool uleb : {true, false}) {
            if (!names_match(region, markers, names, place->num_syms, uleb, budget)) continue;
            place->uleb_lengths = uleb;
            return place;
        }
        if (++verifications == kMaxVerifications) return std::nullopt;
    }
    return std::nullopt;
}

}  // namespace vitrine::kallsyms
