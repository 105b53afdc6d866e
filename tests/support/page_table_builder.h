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
    Gpa allocate() {
        const Gpa table{next_};
        next_ += kPageSize;
        return table;
    }

    // flags: of the last entry; kPresent, and kLarge where page_size wants it, are added.
    void map(Gva va, Gpa pa, std::uint64_t page_size = kPageSize, std::uint64_t flags = kWrite) {
        Gpa table = root_;
        for (unsigned level = top_level();; --level) {
            const Gpa entry = entry_address(table, va, level);
            if (page_size == size_of(level)) {
                write_(entry, pa.value | flags | kPresent | (level > 1 ? kLarge : 0));
                return;
            }
            std::uint64_t raw = read_(entry);
            if ((raw & kPresent) == 0) {
                // PAE's top entries have no permissions: those bits are reserved there.
                const bool plain = mode_ == PagingMode::x86_pae && level == 3;
                raw = allocate().value | kPresent | (plain ? 0 : kWrite | kUser);
                write_(entry, raw);
            }
            table = Gpa{raw & (mode_ == PagingMode::x86_32 ? 0xffff'f000 : kPteAddressMask)};
        }
    }
    void map_range(Gva va, Gpa pa, std::uint64_t size, std::uint64_t page_size = kPageSize,
                   std::uint64_t flags = kWrite) {
        for (std::uint64_t done = 0; done < size; done += page_size)
            map(va.wrap_plus(done), pa.wrap_plus(done), page_size, flags);
    }

    [[nodiscard]] unsigned top_level() const {
        switch (mode_) {
            case PagingMode::x86_32: return 2;
            case PagingMode::x86_pae: return 3;
            case PagingMode::x86_64_5level: return 5;
            default: return 4;
        }
    }
    [[nodiscard]] unsigned shift_of(unsigned level) const {
        return mode_ == PagingMode::x86_32 ? 12 + 10 * (level - 1) : 12 + 9 * (level - 1);
    }
    [[nodiscard]] std::uint64_t size_of(unsigned level) const { return std::uint64_t{1} << shift_of(level); }
    [[nodiscard]] Gpa entry_address(Gpa table, Gva va, unsigned level) const {
        const bool is_32 = mode_ == PagingMode::x86_32;
        std::uint64_t mask = is_32 ? 0x3ff : 0x1ff;
        if (mode_ == PagingMode::x86_pae && level == 3) mask = 3;
        return table.wrap_plus((va.value >> shift_of(level) & mask) * (is_32 ? 4 : 8));
    }

private:
    PagingMode mode_;
    std::uint64_t next_;
    Gpa root_;
    Write64 write_;
    Read64 read_;
};

}  // namespace vitrine::testing
