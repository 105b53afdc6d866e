#include "symbols/kallsyms/addressing.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "symbols/kallsyms/limits.h"
#include "symbols/kallsyms/reader.h"

namespace vitrine::kallsyms {
namespace {

constexpr std::uint64_t align8(std::uint64_t value) { return (value + 7) & ~std::uint64_t{7}; }

// Kernels emit their symbols sorted. A right reading has no descending neighbours; a wrong one has them by the thousand.
constexpr std::uint32_t tolerated_descents(std::uint32_t symbols) { return symbols / 64; }

// Counts neighbours out of order; stops early once it is too many. Sums that wrapped count as descending.
std::uint32_t count_descents(const AddressTable& table, std::uint32_t symbols) {
    const std::uint32_t enough = tolerated_descents(symbols) + 1;
    std::uint32_t descents = 0;
    std::uint64_t previous = 0;
    for (std::uint32_t i = 0; i < symbols && descents < enough; ++i) {
        const std::uint64_t value = table[i];
        descents += value < previous ? 1u : 0u;
        previous = value;
    }
    return descents;
}

// More than half of the offsets negative: only KALLSYMS_ABSOLUTE_PERCPU makes them so.
bool mostly_negative(std::span<const std::byte> region, const KallsymsLayout& layout) {
    std::uint32_t negative = 0;
    for (std::uint32_t i = 0; i < layout.num_syms; ++i) {
        negative += load<std::uint32_t>(region.data() + layout.addresses + std::uint64_t{i} * 4) >> 31;
    }
    return negative > layout.num_syms / 2;
}

// Base and offsets of the layouts up to 6.19.
bool read_base_relative(std::span<const std::byte> region, std::uint64_t base_at, KallsymsLayout& layout) {
    const auto base = ByteView(region).u64(base_at);
    // The lowest symbol: page-aligned `_text`, or the start of a text section without KALLSYMS_ALL.
    if (!base || *base < kKernelMapStart || *base % 16 != 0 || !AddressTable::fits(region, layout)) return false;
    layout.relative_base = *base;
    layout.absolute_percpu = mostly_negative(region, layout);
    // Absolute values (per-CPU offsets, below 2 GiB) come first in the kernel's order, so all values rise.
    layout.descending = count_descents(AddressTable(region, std::nullopt, layout), layout.num_syms);
    return true;
}

// Place-relative offsets, from 7.0 on (a081b5789255). The array lies inside the image whose symbols it lists, which also
// tells it from base-relative offsets: those, read this way, begin at or above the array.
bool read_place_relative(std::span<const std::byte> region, std::optional<Gva> region_va, KallsymsLayout& layout) {
    if (!AddressTable::fits(region, layout)) return false;
    const AddressTable from_array(region, Gva{}.wrap_minus(layout.addresses), layout);
    constexpr std::uint64_t kSign = std::uint64_t{1} << 63;
    const auto first = static_cast<std::int64_t>(from_array[0]);
    const auto last = static_cast<std::int64_t>(from_array[layout.num_syms - 1]);
    if (first >= 0 || last <= 0) return false;
    if (region_va && AddressTable(region, region_va, layout)[layout.num_syms / 2] < kKernelMapStart) return false;
    std::uint64_t previous = 0;
    const std::uint32_t enough = tolerated_descents(layout.num_syms) + 1;
    layout.descending = 0;
    for (std::uint32_t i = 0; i < layout.num_syms && layout.descending < enough; ++i) {
        const std::uint64_t biased = from_array[i] ^ kSign;  // signed order as unsigned order
        layout.descending += biased < previous ? 1 : 0;
        previous = biased;
    }
    return true;
}

bool read_absolute(std::span<const std::byte> region, KallsymsLayout& layout) {
    if (!AddressTable::fits(region, layout)) return false;
    const AddressTable table(region, std::nullopt, layout);
    if (table[layout.num_syms / 2] < kKernelMapStart || table[layout.num_syms - 1] < kKernelMapStart) return false;
    layout.descending = count_descents(table, layout.num_syms);
    return true;
}

// True when a sample of the entries are symbol numbers in the order of the names. A wrong place or entry size cannot pass;
// lookups check each entry they use again.
bool seqs_hold(const KallsymsReader& reader) {
    constexpr std::uint32_t kSamples = 64;
    std::array<char, kMaxExpandedLength + TokenTable::kSlack> buffers[2];
    std::string_view previous;
    std::optional<std::uint32_t> previous_symbol;
    for (std::uint32_t sample = 0; sample < kSamples; ++sample) {
        const auto rank = static_cast<std::uint32_t>(std::uint64_t{reader.size() - 1} * sample / (kSamples - 1));
        const auto symbol = reader.seq(rank);
        const auto name = symbol ? reader.name_of(*symbol) : std::nullopt;
        if (!name || symbol == previous_symbol) return false;
        previous_symbol = symbol;
        auto& buffer = buffers[sample % 2];
        const auto length = reader.tokens().expand(name->codes, buffer.data());
        if (!length || *length == 0) return false;
        // Kernels built with clang's LTO are sorted without what follows the first '.' (cleanup_symbol_name() in
        // scripts/kallsyms.c); without it the others are still in order.
        std::string_view text(buffer.data() + 1, *length - 1);
        text = text.substr(0, text.find('.'));
        if (text < previous) return false;
        previous = text;
    }
    return true;
}

}  // namespace

std::vector<KallsymsLayout> consistent_addressings(std::span<const std::byte> region, std::optional<Gva> region_va,
                                                   const KallsymsLayout& layout, const NamesPlace& names) {
    std::vector<KallsymsLayout> found;
    const std::uint64_t n = names.num_syms;
    const std::uint64_t after = layout.token_index + kTokenIndexBytes;
    const auto attempt = [&](KallsymsAddressing addressing, std::uint64_t at, auto&& read) {
        KallsymsLayout candidate = layout;
        candidate.addressing = addressing;
        candidate.addresses = at;
        if (read(candidate) && candidate.descending <= tolerated_descents(candidate.num_syms))
            found.push_back(candidate);
    };
    const auto absolute = [&](KallsymsLayout& candidate) { return read_absolute(region, candidate); };

    if (names.num_syms_at >= align8(n * 4) + 8) {
        const std::uint64_t base_at = names.num_syms_at - 8;
        attempt(KallsymsAddressing::base_relative_before, base_at - align8(n * 4),
                [&](KallsymsLayout& candidate) { return read_base_relative(region, base_at, candidate); });
    }
    if (names.num_syms_at >= n * 8) attempt(KallsymsAddressing::absolute, names.num_syms_at - n * 8, absolute);
    attempt(KallsymsAddressing::base_relative_after, after,
            [&](KallsymsLayout& candidate) { return read_base_relative(region, after + align8(n * 4), candidate); });
    attempt(KallsymsAddressing::place_relative, after,
            [&](KallsymsLayout& candidate) { return read_place_relative(region, region_va, candidate); });
    attempt(KallsymsAddressing::absolute, after, absolute);
    std::stable_sort(found.begin(), found.end(),
                     [](const KallsymsLayout& a, const KallsymsLayout& b) { return a.descending < b.descending; });
    return found;
}

void attach_seqs(std::span<const std::byte> region, std::optional<Gva> region_va, const MarkersPlace& markers,
                 const NamesPlace& names, KallsymsLayout& layout) {
    const std::uint64_t n = layout.num_syms;
    const bool between = markers.seqs_entry_size != 0;
    std::uint64_t at = layout.addresses;
    if (between) {
        const std::uint64_t bytes = std::uint64_t{markers.count} * markers.element_size;
        at = markers.at + (names.alignment == 8 ? align8(bytes) : bytes);
    } else if (layout.addressing == KallsymsAddressing::base_relative_after) {
        at += align8(n * 4) + 8;
    } else if (layout.addressing == KallsymsAddressing::place_relative) {
        at += n * 4;
    } else if (layout.addressing == KallsymsAddressing::absolute && at > layout.names) {
        at += n * 8;
    } else {
        return;
    }
    for (const std::uint8_t size : {std::uint8_t{3}, std::uint8_t{4}}) {
        if (between && size != markers.seqs_entry_size) continue;
        KallsymsLayout candidate = layout;
        candidate.seqs_of_names = at;
        candidate.seqs_entry_size = size;
        const auto reader = KallsymsReader::open(region, region_va.value_or(Gva{}), candidate);
        if (reader && seqs_hold(*reader)) {
            layout = candidate;
            return;
        }
    }
}

}  // namespace vitrine::kallsyms
