#include "support/page_table_builder.h"

namespace vitrine::testing {

Gpa PageTableBuilder::allocate() {
    const Gpa table{next_};
    next_ += kPageSize;
    return table;
}

void PageTableBuilder::map(Gva va, Gpa pa, std::uint64_t page_size, std::uint64_t flags) {
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

void PageTableBuilder::map_range(Gva va, Gpa pa, std::uint64_t size, std::uint64_t page_size, std::uint64_t flags) {
    for (std::uint64_t done = 0; done < size; done += page_size)
        map(va.wrap_plus(done), pa.wrap_plus(done), page_size, flags);
}

unsigned PageTableBuilder::top_level() const {
    switch (mode_) {
        case PagingMode::x86_32: return 2;
        case PagingMode::x86_pae: return 3;
        case PagingMode::x86_64_5level: return 5;
        default: return 4;
    }
}

unsigned PageTableBuilder::shift_of(unsigned level) const {
    return mode_ == PagingMode::x86_32 ? 12 + 10 * (level - 1) : 12 + 9 * (level - 1);
}

Gpa PageTableBuilder::entry_address(Gpa table, Gva va, unsigned level) const {
    const bool is_32 = mode_ == PagingMode::x86_32;
    std::uint64_t mask = is_32 ? 0x3ff : 0x1ff;
    if (mode_ == PagingMode::x86_pae && level == 3) mask = 3;
    return table.wrap_plus((va.value >> shift_of(level) & mask) * (is_32 ? 4 : 8));
}

}  // namespace vitrine::testing
