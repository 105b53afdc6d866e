// What can go wrong between a guest and its reader, in many variants, each of them the same in each run: for StoreFilter.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "support/synthetic_guest_ram.h"

namespace vitrine::test {

// Near together where few reads are left, then further apart.
inline constexpr std::array<std::size_t, 16> kSweep{1, 2, 3, 4, 5, 7, 10, 14, 20, 29, 43, 67, 101, 211, 503, 1201};

// Every n-th read fails, the first of them the n-th from now.
void refuse_every(StoreFilter& filter, std::size_t n);

// Every n-th page of the store cannot be read, whoever reads it, how often ever.
void refuse_pages(StoreFilter& filter, std::size_t n, std::size_t which);

// A running guest that writes: in every n-th read some bytes are others, at each look new ones.
void mutate_every(StoreFilter& filter, std::size_t n, std::uint32_t seed);

}  // namespace vitrine::test
