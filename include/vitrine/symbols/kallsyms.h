// The kernel's own symbol table, found by its structure in the bytes of the kernel image and decoded. Knows the layouts of
// 2.6.10 up to 7.x (kernel/kallsyms.c, scripts/kallsyms.c); decides by structure and checks, never by version.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "vitrine/base/address.h"
#include "vitrine/base/result.h"
#include "vitrine/symbols/symbol_table.h"

namespace vitrine {

// How addresses are kept.
enum class KallsymsAddressing : std::uint8_t {
    base_relative_before,  // A: s32 offsets before the names, one relative base (4.6 to 6.3)
    base_relative_after,   // B: offsets after the token index, one relative base (6.4 to 6.19)
    place_relative,        // C: each offset is relative to its own place (7.0 and later)
    absolute,              // D: 64-bit addresses (BASE_RELATIVE=n, or before 4.6)
};
[[nodiscard]] std::string_view to_string(KallsymsAddressing);

// Everything needed to decode, as offsets into the region that was searched.
struct KallsymsLayout {
    std::uint64_t token_table = 0, token_index = 0, markers = 0, names = 0, num_syms_at = 0;
    std::uint32_t num_syms = 0, num_markers = 0;
    std::uint8_t marker_size = 4;  // 4, or 8 before 4.20
    bool uleb_lengths = false;     // 6.1 and later; also true when no name is so long that it matters
    KallsymsAddressing addressing = KallsymsAddressing::base_relative_before;
    bool absolute_percpu = false;     // offsets >= 0 are absolute (per-CPU) values
    std::uint64_t addresses = 0;      // the array of offsets or addresses
    std::uint64_t relative_base = 0;  // the base's value (A, B)
    std::optional<std::uint64_t>
        seqs_of_names;                 // symbol numbers sorted by name, when present (6.2 and later, late 6.1.y)
    std::uint8_t seqs_entry_size = 3;  // 3: big-endian; 4: little-endian (before 19bd8981dc2e)
    std::uint32_t descending = 0;      // neighbours out of order: 0 for a right decode
};

// Finds tables in a region (the kernel's read-only data; the whole image if need be). region_va: the virtual address of
// region[0] when page tables told it; for layout C an absolute address can only be computed with it.
// Returns every consistent candidate, best first (fewest descending neighbours); empty: not_found, and the Error says how far it got
// (anchors seen, token tables that were consistent, ...). Bounded: at most 64 anchors are followed.
// from: token tables in front of it are passed over.
Result<std::vector<KallsymsLayout>> find_kallsyms(std::span<const std::byte> region, std::optional<Gva> region_va,
                                                  std::size_t from = 0);

// All symbols, in kallsyms order.
Result<SymbolTable> decode_kallsyms(std::span<const std::byte> region, std::optional<Gva> region_va,
                                    const KallsymsLayout& layout);
// The same into a builder, so that modules' symbols can follow.
Result<void> decode_kallsyms(std::span<const std::byte> region, std::optional<Gva> region_va,
                             const KallsymsLayout& layout, SymbolTableBuilder& builder);

// Looks up a few names without decoding everything: by binary search where seqs_of_names exists, else one pass over
// the compressed names that compares without building strings. Result i belongs to names[i]; nullopt: absent or ambiguous.
std::vector<std::optional<Gva>> lookup_kallsyms(std::span<const std::byte> region, std::optional<Gva> region_va,
                                                const KallsymsLayout& layout, std::span<const std::string_view> names);

}  // namespace vitrine
