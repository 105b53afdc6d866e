// From a token table back to markers, names and num_syms. Only structure decides, never a version.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "vitrine/base/bytes.h"
#include "vitrine/base/function_ref.h"

namespace vitrine::kallsyms {

struct MarkersPlace {
    std::uint64_t at = 0;
    std::uint32_t count = 0;
    std::uint8_t element_size = 4;
    // Bytes of kallsyms_seqs_of_names between the markers and the token table (6.2, 6.3, late 6.1.y); 0: none there.
    std::uint8_t seqs_entry_size = 0;
};

struct NamesPlace {
    std::uint64_t names = 0;
    std::uint64_t num_syms_at = 0;
    std::uint64_t alignment = 8;  // of the tables: 8, and 4 from 7.0 on
    std::uint32_t num_syms = 0;
    bool uleb_lengths = false;
};

// How many names may still be walked, over all candidates: tables made to fail at their very end must not cost minutes.
struct WorkBudget {
    std::uint64_t names = std::uint64_t{64} << 20;
};

// Hands arrays that can be the markers belonging to a token table to `accept`, likely ones first and a handful at most,
// until it returns true. Returns how many were handed over.
std::size_t locate_markers(ByteView region, std::uint64_t token_table, FunctionRef<bool(const MarkersPlace&)> accept);

// The names in front of the markers. Verified: skipping 256 names at a time hits every marker, and the end of the last
// name meets the markers.
[[nodiscard]] std::optional<NamesPlace> locate_names(ByteView region, const MarkersPlace& markers, WorkBudget& budget);

}  // namespace vitrine::kallsyms
