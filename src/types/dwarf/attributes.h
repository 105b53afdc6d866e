// Attributes of a DWARF entry. What is absent, or of another form, is empty, nullopt or false.
#pragma once

#include <dwarf.h>
#include <elfutils/libdw.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "vitrine/types/catalog.h"

namespace vitrine::dwarf {

// Entries of types carry their attributes themselves: neither DW_AT_abstract_origin nor DW_AT_specification leads to more,
// and looking for those takes two more passes for each attribute that is absent.
inline Dwarf_Attribute* attribute_of(Dwarf_Die& die, unsigned attribute, Dwarf_Attribute& storage) {
    return dwarf_attr(&die, attribute, &storage);
}

inline std::string_view text_of(Dwarf_Attribute* attribute) {
    const char* text = attribute == nullptr ? nullptr : dwarf_formstring(attribute);
    return text == nullptr ? std::string_view() : std::string_view(text);
}

inline std::string_view name_of(Dwarf_Die& die) {
    Dwarf_Attribute storage;
    return text_of(attribute_of(die, DW_AT_name, storage));
}

inline std::optional<std::uint64_t> value_of(Dwarf_Attribute* attribute) {
    Dwarf_Word value = 0;
    if (attribute == nullptr || dwarf_formudata(attribute, &value) != 0) return std::nullopt;
    return value;
}

inline std::optional<std::uint64_t> number(Dwarf_Die& die, unsigned attribute) {
    Dwarf_Attribute storage;
    return value_of(attribute_of(die, attribute, storage));
}

inline bool is_set(Dwarf_Attribute* attribute) {
    bool value = false;
    return attribute != nullptr && dwarf_formflag(attribute, &value) == 0 && value;
}

inline bool flag(Dwarf_Die& die, unsigned attribute) {
    Dwarf_Attribute storage;
    return is_set(attribute_of(die, attribute, storage));
}

inline bool referenced(Dwarf_Die& die, Dwarf_Die& out) {
    Dwarf_Attribute storage;
    Dwarf_Attribute* found = attribute_of(die, DW_AT_type, storage);
    return found != nullptr && dwarf_formref_die(found, &out) != nullptr;
}

// A member's attributes, read in one pass: every unit of a kernel repeats the structures of its headers.
struct MemberAttributes {
    enum Which : unsigned { name, type, location, external, bit_size, data_bit_offset, bit_offset, byte_size, count };

    explicit MemberAttributes(Dwarf_Die& die) { (void)dwarf_getattrs(&die, keep, this, 0); }
    [[nodiscard]] Dwarf_Attribute* get(Which which) { return present[which] ? &values[which] : nullptr; }

private:
    static int keep(Dwarf_Attribute* attribute, void* self) {
        constexpr unsigned kCodes[count] = {DW_AT_name,       DW_AT_type,     DW_AT_data_member_location,
                                            DW_AT_external,   DW_AT_bit_size, DW_AT_data_bit_offset,
                                            DW_AT_bit_offset, DW_AT_byte_size};
        auto& all = *static_cast<MemberAttributes*>(self);
        for (unsigned i = 0; i < count; ++i) {
            if (attribute->code != kCodes[i]) continue;
            all.values[i] = *attribute;
            all.present[i] = true;
        }
        return DWARF_CB_OK;
    }
    std::array<Dwarf_Attribute, count> values;
    std::array<bool, count> present{};
};

// Calls visit(child, tag) for each child, in order.
template <class Visit>
void for_each_child(Dwarf_Die& die, Visit&& visit) {
    Dwarf_Die child;
    if (dwarf_child(&die, &child) != 0) return;
    do {
        visit(child, dwarf_tag(&child));
    } while (dwarf_siblingof(&child, &child) == 0);
}

// Where a member lies: a constant, or (DWARF 2) an expression that adds one. Members of unions have none: 0.
std::optional<std::uint64_t> member_location(Dwarf_Attribute* found);

// The number of elements; 0 for flexible and variable-length arrays.
std::uint32_t element_count(Dwarf_Die& range);

// Of the tags of pointers, typedefs and qualifiers.
std::optional<TypeKind> modifier_kind(int tag);

}  // namespace vitrine::dwarf
