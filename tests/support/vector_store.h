// A RamStore over bytes in this process, with or without a mapping, with holes that a test can set.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "vitrine/memory/ram_store.h"

namespace vitrine::testing {

class VectorStore final : public RamStore {
public:
    explicit VectorStore(std::vector<std::byte> content, bool mapped = false)
        : bytes(std::move(content)), is_mapped(mapped) {}

    [[nodiscard]] std::uint64_t size() const override { return bytes.size(); }
    [[nodiscard]] AccessMethod method() const override { return AccessMethod::synthetic; }
    Result<void> read(std::span<StoreReadOp> ops) override;
    [[nodiscard]] std::vector<StoreRange> populated(StoreRange within) override;
    [[nodiscard]] Mapping mapping() const override;
    void new_generation() override { ++generations; }

    std::vector<std::byte> bytes;
    std::vector<StoreRange> parts;       // what populated() tells; empty: everything
    std::vector<std::uint64_t> present;  // the mapping's bitmap; empty: all
    std::atomic<std::uint32_t> tainted{0};
    bool is_mapped = false;
    std::size_t calls = 0;
    std::size_t operations = 0;
    std::size_t generations = 0;
};

}  // namespace vitrine::testing
