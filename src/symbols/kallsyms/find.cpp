#include <fmt/format.h>

#include <algorithm>

#include "symbols/kallsyms/addressing.h"
#include "symbols/kallsyms/anchor_scan.h"
#include "symbols/kallsyms/limits.h"
#include "symbols/kallsyms/locate_names.h"
#include "symbols/kallsyms/reader.h"
#include "symbols/kallsyms/token_table.h"
#include "vitrine/symbols/kallsyms.h"

namespace vitrine {
namespace {

using namespace kallsyms;

// Text in UTF-16 has the anchor's bytes too; such hits are dropped at once and only cost a little.
constexpr std::size_t kMaxAnchors = 16384;
constexpr std::size_t kMaxTokenTables = 64;

struct Search {
    std::size_t anchors = 0, token_tables = 0, with_markers = 0, with_names = 0;
    bool stopped_at_limit = false;
    WorkBudget budget;
    std::vector<KallsymsLayout> found;
};

// The letters nm prints. One wrong first letter among hundreds means that token table and names are not of one kernel.
bool types_plausible(std::span<const std::byte> region, const TokenTable& tokens, const MarkersPlace& markers,
                     const NamesPlace& names) {
    for (std::uint32_t block = 0; block < markers.count; ++block) {
        const std::byte* marker = region.data() + markers.at + std::uint64_t{block} * markers.element_size;
        const auto name = packed_name_at(region, names.uleb_lengths, names.names + load<std::uint32_t>(marker));
        if (!name) return false;
        const std::string_view token = tokens[name->codes[0]];
        if (token.empty()) return false;
        const char letter = static_cast<char>(token[0] | 0x20);
        if ((letter < 'a' || letter > 'z') && token[0] != '?' && token[0] != '-') return false;
    }
    return true;
}

// Names in front of these markers: adds every consistent layout to found. False when there are none.
bool follow_markers(std::span<const std::byte> region, std::optional<Gva> region_va, KallsymsLayout layout,
                    const TokenTable& tokens, const MarkersPlace& markers, Search& search) {
    const auto names = locate_names(ByteView(region), markers, search.budget);
    if (!names || !types_plausible(region, tokens, markers, *names)) return false;
    ++search.with_names;
    layout.markers = markers.at;
    layout.num_markers = markers.count;
    layout.marker_size = markers.element_size;
    layout.names = names->names;
    layout.num_syms_at = names->num_syms_at;
    layout.num_syms = names->num_syms;
    layout.uleb_lengths = names->uleb_lengths;
    for (KallsymsLayout& complete : consistent_addressings(region, region_va, layout, *names)) {
        attach_seqs(region, region_va, markers, *names, complete);
        search.found.push_back(complete);
    }
    return true;  // names that meet their markers to the byte leave no room for other markers
}

void follow_anchor(std::span<const std::byte> region, std::optional<Gva> region_va, std::uint64_t anchor,
                   Search& search) {
    const auto place = locate_token_table(ByteView(region), anchor);
    const auto tokens = place ? TokenTable::load(ByteView(region), *place) : std::nullopt;
    if (!tokens) return;
    ++search.token_tables;
    KallsymsLayout layout;
    layout.token_table = place->table;
    layout.token_index = place->index;
    const std::size_t candidates = locate_markers(ByteView(region), place->table, [&](const MarkersPlace& markers) {
        return follow_markers(region, region_va, layout, *tokens, markers, search);
    });
    search.with_markers += candidates != 0 ? 1 : 0;
}

Error not_found(std::size_t region_bytes, const Search& search) {
    return Error::with_text(
        Errc::not_found, Origin::symbols,
        fmt::format(
            "no kallsyms tables in {} KiB: {} anchors, {} token tables, {} with markers, {} with names, none with "
            "sorted addresses{}",
            region_bytes >> 10, search.anchors, search.token_tables, search.with_markers, search.with_names,
            search.stopped_at_limit ? "; gave up at the work limit" : ""));
}

}  // namespace

std::string_view to_string(KallsymsAddressing addressing) {
    switch (addressing) {
        case KallsymsAddressing::base_relative_before: return "base-relative, before the names";
        case KallsymsAddressing::base_relative_after: return "base-relative, after the token index";
        case KallsymsAddressing::place_relative: return "place-relative";
        case KallsymsAddressing::absolute: return "absolute";
    }
    return "?";
}

Result<std::vector<KallsymsLayout>> find_kallsyms(std::span<const std::byte> region, std::optional<Gva> region_va,
                                                  std::size_t from) {
    Search search;
    while (const auto anchor = find_anchor(region, from)) {
        from = *anchor + kAnchorLength;
        if (search.anchors == kMaxAnchors || search.token_tables == kMaxTokenTables ||
            search.budget.names < kNamesPerMarker) {
            search.stopped_at_limit = true;
            break;
        }
        ++search.anchors;
        follow_anchor(region, region_va, *anchor, search);
    }
    if (search.found.empty()) return not_found(region.size(), search);
    std::stable_sort(search.found.begin(), search.found.end(),
                     [](const KallsymsLayout& a, const KallsymsLayout& b) { return a.descending < b.descending; });
    return std::move(search.found);
}

}  // namespace vitrine
