// What can go wrong between a guest and its reader, in many variants, each of them the same in each run: for StoreFilter.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>

#include "support/synthetic_guest_ram.h"

namespace vitrine::test {

// Near together where few reads are left, then further apart.
inline constexpr std::array<std::size_t, 16> kSweep{1, 2, 3, 4, 5, 7, 10, 14, 20, 29, 43, 67, 101, 211, 503, 1201};

// Every n-th read fails, the first of them the n-th from now.
inline void refuse_every(StoreFilter& filter, std::size_t n) {
    const std::size_t from = filter.operations;
    filter.refuse = [n, from](std::size_t number, const StoreReadOp&) { return (number - from) % n == n - 1; };
}

// Every n-th page of the store cannot be read, whoever reads it, how often ever.
inline void refuse_pages(StoreFilter& filter, std::size_t n, std::size_t which) {
    filter.refuse = [n, which](std::size_t, const StoreReadOp& op) {
        for (std::uint64_t page = op.offset / kPageSize; page * kPageSize < op.offset + op.out.size(); ++page) {
            if (page % n == which % n) return true;
        }
        return false;
    };
}

// A running guest that writes: in every n-th read some bytes are others, at each look new ones.
inline void mutate_every(StoreFilter& filter, std::size_t n, std::uint32_t seed) {
    filter.alter = [n, random = std::make_shared<std::mt19937>(seed)](std::size_t number, StoreReadOp& op) {
        if (number % n != 0 || op.out.empty()) return;
        for (std::size_t flips = 1 + (*random)() % 4; flips > 0; --flips)
            op.out[(*random)() % op.out.size()] = static_cast<std::byte>((*random)());
    };
}

}  // namespace vitrine::test
