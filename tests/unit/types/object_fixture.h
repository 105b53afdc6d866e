// Typed objects over made-up memory: three pages of a kernel, of which the middle one is a hole.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "support/page_table_builder.h"
#include "support/synthetic_memory.h"
#include "vitrine/types/object.h"

namespace vitrine::test {

class ObjectFixture {
public:
    static constexpr Gva kFirst{0xffff'8880'0000'0000};
    static constexpr Gva kHole = Gva{kFirst.value + kPageSize};
    static constexpr Gva kLast = Gva{kFirst.value + 2 * kPageSize};

    ObjectFixture();
    template <GuestScalar T>
    void put(Gva at, T value) {
        memory_.write_value(Gpa{0x1'0000 + (at.value - kFirst.value)}, value);
    }
    void put_text(Gva at, std::string_view text);
    [[nodiscard]] const AddressSpace& space() const { return space_; }
    [[nodiscard]] std::size_t operations() const { return memory_.operations; }

private:
    vitrine::testing::SyntheticMemory memory_{std::uint64_t{1} << 20};
    vitrine::testing::PageTableBuilder tables_{memory_, PagingMode::x86_64_4level, Gpa{0x2'0000}};
    AddressSpace space_{memory_, PagingMode::x86_64_4level, tables_.root()};
};

// struct node, struct thing: every shape that a member can have.
struct ObjectTypes {
    ObjectTypes();
    std::shared_ptr<const TypeCatalog> catalog;
};

}  // namespace vitrine::test
