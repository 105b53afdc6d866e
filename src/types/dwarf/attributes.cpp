#include "types/dwarf/attributes.h"

#include <algorithm>

namespace vitrine::dwarf {

std::optional<std::uint64_t> member_location(Dwarf_Attribute* found) {
    if (found == nullptr) return 0;  // unions have none
    Dwarf_Word value = 0;
    if (dwarf_formudata(found, &value) == 0) return value;
    Dwarf_Op* expression = nullptr;
    std::size_t length = 0;
    if (dwarf_getlocation(found, &expression, &length) != 0 || length != 1) return std::nullopt;
    if (expression[0].atom != DW_OP_plus_uconst) return std::nullopt;
    return expression[0].number;
}

std::uint32_t element_count(Dwarf_Die& range) {
    if (const auto count = number(range, DW_AT_count))
        return static_cast<std::uint32_t>(std::min<std::uint64_t>(*count, 0xffffffff));
    Dwarf_Attribute storage;
    Dwarf_Attribute* found = attribute_of(range, DW_AT_upper_bound, storage);
    if (found == nullptr) return 0;
    // The bound of a zero-length array is -1. The dataN forms carry no sign: 0xff as data1 is 255, an array of 256; only
    // where all of a long word's bits are set is it -1, as GCC writes it in size_t.
    const unsigned form = dwarf_whatform(found);
    Dwarf_Sword upper = 0;
    if (form == DW_FORM_sdata || form == DW_FORM_implicit_const) {
        if (dwarf_formsdata(found, &upper) != 0 || upper < 0) return 0;
        return static_cast<std::uint32_t>(std::min<Dwarf_Sword>(upper, 0xfffffffe) + 1);
    }
    Dwarf_Word bound = 0;
    if (dwarf_formudata(found, &bound) != 0 || bound == ~Dwarf_Word{0}) return 0;
    if (form == DW_FORM_data4 && bound == 0xffffffff) return 0;
    return static_cast<std::uint32_t>(std::min<Dwarf_Word>(bound, 0xfffffffe) + 1);
}

std::optional<TypeKind> modifier_kind(int tag) {
    switch (tag) {
        case DW_TAG_pointer_type: return TypeKind::pointer;
        case DW_TAG_typedef: return TypeKind::typedef_;
        case DW_TAG_const_type: return TypeKind::const_;
        case DW_TAG_volatile_type: return TypeKind::volatile_;
        case DW_TAG_restrict_type: return TypeKind::restrict_;
        default: return std::nullopt;
    }
}

}  // namespace vitrine::dwarf
