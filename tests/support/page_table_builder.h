// Writes x86 page tables into memory for tests: tables are allocated one after the other from a given address on.
#pragma once

#include <cstdint>
#include <functional>

#include "vitrine/memory/paging.h"

namespace vitrine::testing {

class PageTableBuilder {
public:
    using Write64 = std::function<void(Gpa, std::uint64_t)>;
    using Read64 = std::function<std::uint64_t(Gpa)>;

    static constexpr std::uint64_t kPresent = 1, kWrite = 2, kUser = 4, kLarge = 0x80,
                                   kNoExecute = std::uint64_t{1} << 63;

    // Memory: anything with write_value<T>(Gpa, T) and read_value<T>(Gpa), e.g. SyntheticMemory.
    template <class Memory>
    PageTableBuilder(Memory& memory, PagingMode mode, Gpa first_table)
        : mode_(mode), next_(first_table.value), root_(allocate()) {
        if (mode == PagingMode::x86_32) {
            write_ = [&memory](Gpa at, std::uint64_t raw) { memory.write_value(at, static_cast<std::uint32_t>(raw)); };
            read_ = [&memory](Gpa at) {
                return std::uint64_t{memory.template read_value<std::uint32_t>(at).value_or(0u)};
            };
        } else {
            write_ = [&memory](Gpa at, std::uint64_t raw) { memory.write_value(at, raw); };
            read_ = [&memory](Gpa at) { return memory.template read_value<std::uint64_t>(at).value_or(0u); };
        }
    }

    [[nodiscard]] Gpa root() const { return root_; }
    [[nodiscard]] Gpa next_table() const { return Gpa{next_}; }
    Gpa allocate();

    // flags: of the last entry; kPresent, and kLarge where page_size wants it, are added.
    void map(Gva va, Gpa pa, std::uint64_t page_size = kPageSize, std::uint64_t flags = kWrite);
    void map_range(Gva va, Gpa pa, std::uint64_t size, std::uint64_t page_size = kPageSize,
                   std::uint64_t flags = kWrite);

    [[nodiscard]] unsigned top_level() const;
    [[nodiscard]] unsigned shift_of(unsigned level) const;
    [[nodiscard]] std::uint64_t size_of(unsigned level) const { return std::uint64_t{1} << shift_of(level); }
    [[nodiscard]] Gpa entry_address(Gpa table, Gva va, unsigned level) const;

private:
    PagingMode mode_;
    std::uint64_t next_;
    Gpa root_;
    Write64 write_;
    Read64 read_;
};

}  // namespace vitrine::testing
