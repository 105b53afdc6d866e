// Several stores one behind the other: a guest whose RAM is made of several blocks (NUMA nodes, DIMMs).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "vitrine/memory/ram_store.h"

namespace vitrine {

class CompositeStore final : public RamStore {
public:
    // At least one part.
    explicit CompositeStore(std::vector<std::shared_ptr<RamStore>> parts);

    [[nodiscard]] std::uint64_t size() const override { return size_; }
    // copied, unless all parts are mapped.
    [[nodiscard]] AccessMethod method() const override;
    Result<void> read(std::span<StoreReadOp> ops) override;
    [[nodiscard]] std::vector<StoreRange> populated(StoreRange within) override;
    void new_generation() override;

private:
    struct Part {
        std::uint64_t start = 0;
        std::shared_ptr<RamStore> store;
    };
    [[nodiscard]] std::size_t part_at(std::uint64_t offset) const;

    std::vector<Part> parts_;
    std::uint64_t size_ = 0;
};

}  // namespace vitrine
