// Bounds-checked reading of the tables a KallsymsLayout describes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "symbols/kallsyms/limits.h"
#include "symbols/kallsyms/token_table.h"
#include "vitrine/base/address.h"
#include "vitrine/base/bytes.h"
#include "vitrine/base/result.h"
#include "vitrine/symbols/kallsyms.h"

namespace vitrine::kallsyms {

// One compressed name: its codes, and the offset in the region where the next name begins.
struct PackedName {
    std::span<const std::uint8_t> codes;
    std::uint64_t next = 0;
};

// The name at an offset of the region. nullopt: it leaves the region, is empty (scripts/kallsyms.c emits none), or has more
// codes than a name has characters.
[[nodiscard]] inline std::optional<PackedName> packed_name_at(std::span<const std::byte> region, bool uleb,
                                                              std::uint64_t at) {
    if (at >= region.size()) return std::nullopt;
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(region.data());
    std::uint64_t length = bytes[at++];
    // Two-byte lengths: since 6.1 (73bbb94466fd). Before, lengths of 128 to 255 were one plain byte.
    if (uleb && (length & 0x80) != 0) {
        if (at >= region.size()) return std::nullopt;
        length = (length & 0x7f) | (std::uint64_t{bytes[at++]} << 7);
    }
    if (length == 0 || length > kMaxExpandedLength || length > region.size() - at) return std::nullopt;
    return PackedName{{bytes + at, static_cast<std::size_t>(length)}, at + length};
}

// The value a symbol has; wraps for nonsense, as the kernel's own arithmetic does.
class AddressTable {
public:
    // For place_relative without a region_va the values are relative to region[0].
    AddressTable(std::span<const std::byte> region, std::optional<Gva> region_va, const KallsymsLayout& layout);

    [[nodiscard]] static bool fits(std::span<const std::byte> region, const KallsymsLayout& layout);
    [[nodiscard]] std::uint64_t operator[](std::uint32_t symbol) const;  // symbol < num_syms, and fits() was true

private:
    const std::byte* values_;
    KallsymsAddressing addressing_;
    bool absolute_percpu_;
    std::uint64_t base_;
};

// Everything of one layout, checked once. Keeps references to the region.
class KallsymsReader {
public:
    static Result<KallsymsReader> open(std::span<const std::byte> region, std::optional<Gva> region_va,
                                       const KallsymsLayout& layout);

    [[nodiscard]] std::uint32_t size() const { return layout_.num_syms; }
    [[nodiscard]] const TokenTable& tokens() const { return tokens_; }
    [[nodiscard]] std::uint64_t address(std::uint32_t symbol) const { return addresses_[symbol]; }
    [[nodiscard]] std::optional<PackedName> first_name() const { return name_at(layout_.names); }
    [[nodiscard]] std::optional<PackedName> name_at(std::uint64_t offset) const {
        return packed_name_at(region_, layout_.uleb_lengths, offset);
    }
    [[nodiscard]] std::optional<PackedName> name_of(std::uint32_t symbol) const;  // by marker, then at most 255 skips
    [[nodiscard]] std::optional<std::uint32_t> seq(std::uint32_t rank) const;     // symbol number of the rank-th name

private:
    KallsymsReader(std::span<const std::byte> region, std::optional<Gva> region_va, const KallsymsLayout& layout,
                   TokenTable tokens)
        : region_(region), layout_(layout), tokens_(std::move(tokens)), addresses_(region, region_va, layout) {}

    std::span<const std::byte> region_;
    KallsymsLayout layout_;
    TokenTable tokens_;
    AddressTable addresses_;
};

}  // namespace vitrine::kallsyms
