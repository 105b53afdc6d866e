#include "support/fault_sweep.h"

#include <memory>
#include <random>

namespace vitrine::test {

void refuse_every(StoreFilter& filter, std::size_t n) {
    const std::size_t from = filter.operations;
    filter.refuse = [n, from](std::size_t number, const StoreReadOp&) { return (number - from) % n == n - 1; };
}

void refuse_pages(StoreFilter& filter, std::size_t n, std::size_t which) {
    filter.refuse = [n, which](std::size_t, const StoreReadOp& op) {
        for (std::uint64_t page = op.offset / kPageSize; page * kPageSize < op.offset + op.out.size(); ++page) {
            if (page % n == which % n) return true;
        }
        return false;
    };
}

void mutate_every(StoreFilter& filter, std::size_t n, std::uint32_t seed) {
    filter.alter = [n, random = std::make_shared<std::mt19937>(seed)](std::size_t number, StoreReadOp& op) {
        if (number % n != 0 || op.out.empty()) return;
        for (std::size_t flips = 1 + (*random)() % 4; flips > 0; --flips)
            op.out[(*random)() % op.out.size()] = static_cast<std::byte>((*random)());
    };
}

}  // namespace vitrine::test
