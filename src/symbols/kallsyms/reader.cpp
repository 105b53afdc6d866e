#include "symbols/kallsyms/reader.h"

#include <utility>

namespace vitrine::kallsyms {
namespace {

constexpr std::uint64_t element_size(KallsymsAddressing addressing) {
    return addressing == KallsymsAddressing::absolute ? 8 : 4;
}

bool inside(std::span<const std::byte> region, std::uint64_t offset, std::uint64_t bytes) {
    return offset <= region.size() && region.size() - offset >= bytes;
}

std::uint64_t base_of(std::optional<Gva> region_va, const KallsymsLayout& layout) {
    if (layout.addressing != KallsymsAddressing::place_relative) return layout.relative_base;
    return region_va.value_or(Gva{}).wrap_plus(layout.addresses).value;
}

}  // namespace

AddressTable::AddressTable(std::span<const std::byte> region, std::optional<Gva> region_va,
                           const KallsymsLayout& layout)
    : values_(region.data() + layout.addresses),
      addressing_(layout.addressing),
      absolute_percpu_(layout.absolute_percpu),
      base_(base_of(region_va, layout)) {}

bool AddressTable::fits(std::span<const std::byte> region, const KallsymsLayout& layout) {
    return inside(region, layout.addresses, layout.num_syms * element_size(layout.addressing));
}

std::uint64_t AddressTable::operator[](std::uint32_t symbol) const {
    const std::byte* at = values_ + symbol * element_size(addressing_);
    if (addressing_ == KallsymsAddressing::absolute) return load<std::uint64_t>(at);
    const auto offset = load<std::uint32_t>(at);
    const auto extended = static_cast<std::uint64_t>(std::int64_t{static_cast<std::int32_t>(offset)});
    if (addressing_ == KallsymsAddressing::place_relative) return base_ + std::uint64_t{symbol} * 4 + extended;
    // kallsyms_sym_address(): with KALLSYMS_ABSOLUTE_PERCPU (2213e9a66bb8) negative offsets count down from base - 1.
    if (absolute_percpu_) return (offset >> 31) == 0 ? offset : base_ - 1 - extended;
    return base_ + offset;
}

Result<KallsymsReader> KallsymsReader::open(std::span<const std::byte> region, std::optional<Gva> region_va,
                                            const KallsymsLayout& layout) {
    if (layout.addressing == KallsymsAddressing::place_relative && !region_va) {
        return Error::make(Errc::usage, Origin::symbols,
                           "decoding place-relative kallsyms without the region's address");
    }
    const std::uint64_t markers = layout.num_markers;
    const std::uint64_t seq_size = layout.seqs_entry_size;
    if (layout.num_syms == 0 || layout.num_syms > kMaxSymbols ||
        markers != (layout.num_syms + kNamesPerMarker - 1) / kNamesPerMarker ||
        (layout.marker_size != 4 && layout.marker_size != 8) || layout.names >= region.size() ||
        !inside(region, layout.markers, markers * layout.marker_size) || !AddressTable::fits(region, layout)) {
        return Error::make(Errc::malformed, Origin::symbols, "kallsyms tables leave the region");
    }
    if (layout.seqs_of_names &&
        ((seq_size != 3 && seq_size != 4) || !inside(region, *layout.seqs_of_names, layout.num_syms * seq_size))) {
        return Error::make(Errc::malformed, Origin::symbols, "kallsyms_seqs_of_names leaves the region");
    }
    auto tokens = TokenTable::load(ByteView(region), {layout.token_table, layout.token_index});
    if (!tokens) return Error::make(Errc::malformed, Origin::symbols, "kallsyms token table is broken");
    return KallsymsReader(region, region_va, layout, *std::move(tokens));
}

std::optional<PackedName> KallsymsReader::name_of(std::uint32_t symbol) const {
    const std::byte* marker = region_.data() + layout_.markers + (symbol / kNamesPerMarker) * layout_.marker_size;
    const std::uint64_t offset = layout_.marker_size == 8 ? load<std::uint64_t>(marker) : load<std::uint32_t>(marker);
    if (offset >= region_.size()) return std::nullopt;
    auto name = name_at(layout_.names + offset);
    for (std::uint32_t skip = symbol % kNamesPerMarker; skip != 0 && name; --skip) name = name_at(name->next);
    return name;
}

std::optional<std::uint32_t> KallsymsReader::seq(std::uint32_t rank) const {
    const std::byte* at = region_.data() + *layout_.seqs_of_names + std::uint64_t{rank} * layout_.seqs_entry_size;
    std::uint32_t symbol = 0;
    if (layout_.seqs_entry_size == 4) {
        symbol = load<std::uint32_t>(at);
    } else {
        symbol = (load<std::uint8_t>(at) * 0x10000u) | (load<std::uint8_t>(at + 1) * 0x100u) |
                 load<std::uint8_t>(at + 2);
    }
    if (symbol >= layout_.num_syms) return std::nullopt;
    return symbol;
}

}  // namespace vitrine::kallsyms
