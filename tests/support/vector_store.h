// A RamStore over bytes in this process, with or without a mapping, with holes that a test can set.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
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
    Result<void> read(std::span<StoreReadOp> ops) override {
        ++calls;
        operations += ops.size();
        for (StoreReadOp& op : ops) {
            op.ok = op.offset <= bytes.size() && bytes.size() - op.offset >= op.out.size();
            op.status = Errc::out_of_range;
            if (op.ok && !op.out.empty()) std::memcpy(op.out.data(), bytes.data() + op.offset, op.out.size());
        }
        return {};
    }
    [[nodiscard]] std::vector<StoreRange> populated(StoreRange within) override {
        if (parts.empty()) return {within};
        std::vector<StoreRange> found;
        for (const StoreRange& part : parts) {
            const std::uint64_t low = std::max(part.offset, within.offset);
            const std::uint64_t high = std::min(part.offset + part.size, within.offset + within.size);
            if (low < high) found.push_back({low, high - low});
        }
        return found;
    }
    [[nodiscard]] Mapping mapping() const override {
        if (!is_mapped) return {};
        return {bytes.data(), present.empty() ? nullptr : present.data(), &tainted};
    }
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
