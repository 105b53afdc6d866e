// How a kernel keeps its symbols' addresses: decided by computing them all ways and looking which are sorted.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "symbols/kallsyms/locate_names.h"
#include "vitrine/base/address.h"
#include "vitrine/symbols/kallsyms.h"

namespace vitrine::kallsyms {

// Every way of reading addresses that is consistent, as copies of `layout` (whose other fields are set) with addressing,
// absolute_percpu, addresses, relative_base and descending filled in.
[[nodiscard]] std::vector<KallsymsLayout> consistent_addressings(std::span<const std::byte> region,
                                                                 std::optional<Gva> region_va,
                                                                 const KallsymsLayout& layout, const NamesPlace& names);

// Finds kallsyms_seqs_of_names (its place follows from the addressing) and checks that its entries are symbol numbers
// in the order of the names. Clears it in the layout when there is none.
void attach_seqs(std::span<const std::byte> region, std::optional<Gva> region_va, const MarkersPlace& markers,
                 const NamesPlace& names, KallsymsLayout& layout);

}  // namespace vitrine::kallsyms
