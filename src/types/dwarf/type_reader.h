// Types of DWARF compilation units into a TypeStore. Runs in the importing child.
#pragma once

#include <elfutils/libdw.h>

#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "types/dwarf/type_store.h"

namespace vitrine::dwarf {

class TypeReader {
public:
    explicit TypeReader(TypeStore& store) : store_(store) {}

    // All types at the top level of a unit, and what they refer to.
    Result<void> read_unit(Dwarf_Die& unit);
    [[nodiscard]] bool is_c(Dwarf_Die& unit) const;

private:
    struct RawMember {
        std::string_view name;
        Dwarf_Die type{};
        bool has_type = false;
        std::uint64_t bit_offset = 0;
        std::uint32_t bit_size = 0;
    };
    struct Pending {
        Dwarf_Die die{};
        TypeId id = 0;
    };

    Result<TypeId> type_of(Dwarf_Die& die, unsigned depth);  // what DW_AT_type refers to; 0 (void) without one
    Result<TypeId> intern(Dwarf_Die& die, unsigned depth);
    Result<TypeId> intern_new(Dwarf_Die& die, int tag, unsigned depth);
    Result<TypeId> base(Dwarf_Die& die);
    Result<TypeId> reference(Dwarf_Die& die, TypeKind kind, unsigned depth);
    Result<TypeId> array(Dwarf_Die& die, unsigned depth);
    Result<TypeId> aggregate(Dwarf_Die& die, TypeKind kind, unsigned depth);
    Result<TypeId> anonymous(const Type& type, const std::vector<RawMember>& raw, unsigned depth);
    Result<TypeId> enumeration(Dwarf_Die& die);
    Result<TypeId> prototype(Dwarf_Die& die, unsigned depth);
    Result<void> fill_pending();

    std::vector<RawMember> raw_members(Dwarf_Die& die, std::uint64_t size) const;
    std::optional<RawMember> raw_member(Dwarf_Die& die) const;
    Result<std::vector<Member>> typed(const std::vector<RawMember>& raw, unsigned depth);

    TypeStore& store_;
    // Of the unit being read, by where each entry lies in memory (offsets are those of one section, and types may lie in
    // another); kOpen while a type's own parts are being read.
    std::unordered_map<const void*, TypeId> known_;
    std::vector<Pending> pending_;  // named structures whose members' types are still to be read
};

}  // namespace vitrine::dwarf
