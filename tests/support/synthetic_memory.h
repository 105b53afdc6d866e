// Guest-physical memory made by a test: sparse 4 KiB pages that exist once something was written to them, in given ranges.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "vitrine/memory/physical_memory.h"

namespace vitrine::testing {

class SyntheticMemory final : public PhysicalMemory {
public:
    explicit SyntheticMemory(std::vector<MemoryRange> ranges) : ranges_(std::move(ranges)) {}
    explicit SyntheticMemory(std::uint64_t size) : ranges_{{Gpa{0}, size}} {}

    using PhysicalMemory::read;
    [[nodiscard]] std::span<const MemoryRange> ranges() const override { return ranges_; }
    [[nodiscard]] AccessMethod method() const override { return AccessMethod::synthetic; }
    void new_generation() override { ++generations; }

    Result<void> read(std::span<ReadOp> ops) override;

    void write(Gpa address, std::span<const std::byte> bytes);
    template <GuestScalar T>
    void write_value(Gpa address, T value) {
        write(address, std::as_bytes(std::span<const T, 1>(&value, 1)));
    }
    void fill(Gpa address, std::size_t size, std::byte value) { write(address, std::vector<std::byte>(size, value)); }

    std::size_t calls = 0;       // of read()
    std::size_t operations = 0;  // in all of them
    std::size_t generations = 0;
    bool gone = false;  // read() fails as if the monitor had ended

private:
    bool copy(std::uint64_t address, std::span<std::byte> out) const;
    [[nodiscard]] const MemoryRange* find(std::uint64_t address) const;

    std::vector<MemoryRange> ranges_;
    std::unordered_map<std::uint64_t, std::unique_ptr<std::byte[]>> pages_;
};

}  // namespace vitrine::testing
