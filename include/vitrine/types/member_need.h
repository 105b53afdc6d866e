// What a reader needs of somebody else's structures: named groups of members, each with its alternatives by presence and kind (never by
// version). Resolved once against a catalog; what is missing is said by name.
//
//   constexpr auto kMembers = std::to_array<MemberNeed>({
//       {"files_struct", {"fdt"}, MemberShape::pointer},
//       {"fdtable", {"max_fds"}, MemberShape::number},
//   });
//   constexpr NeedGroup kOpenFiles{"open files", kMembers};
//   const Members members = VITRINE_TRY(resolve_members(catalog, kOpenFiles));
//   members.at(1);   // offset of fdtable.max_fds
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/base/result.h"
#include "vitrine/types/catalog.h"

namespace vitrine {

// What a member must be for its bytes to mean what they are taken for.
enum class MemberShape : std::uint8_t {
    pointer,
    u32,      // integer or enumeration of 4 bytes, or a structure of one (atomic_t, kuid_t)
    u64,      // the same of 8 bytes
    word,     // of 4 or 8 bytes; the lower 4 are read
    list,     // structure of two pointers (list_head)
    text,     // array of at least 16 bytes
    record,   // structure or union of any size
    records,  // array of structures
    number,   // integer, enumeration or a structure of one, of 1, 2, 4 or 8 bytes; also a bit-field
    array,    // of anything, flexible ones too
    any,      // whatever has an offset
};

struct MemberNeed {
    std::string_view structure;             // without "struct"
    std::array<std::string_view, 4> paths;  // tried in this order; "" ends
    MemberShape shape;                      // a member of another one counts as absent
    bool required = true;                   // without it nothing can be answered
};

struct MemberSlot {
    std::uint32_t offset = 0;  // bytes from the start of the structure
    std::uint32_t size = 0;    // bytes; 0 for flexible arrays; of a bit-field those that hold it
    bool present = false;
    std::uint8_t alternative = 0;  // which of the alternatives it was
    std::uint8_t bit_shift = 0;    // of a bit-field in its bytes
    std::uint8_t bit_size = 0;     // 0: not a bit-field
};

// Members that are looked for together. A name of a structure in `sizes` is one whose size is needed (required).
struct NeedGroup {
    std::string_view name;
    std::span<const MemberNeed> members;
    std::span<const std::string_view> sizes = {};
};

// A resolved group; indices are those of the group.
class Members {
public:
    [[nodiscard]] bool has(std::size_t member) const { return slots_[member].present; }
    // Precondition: has(member). Bytes from the start of the structure.
    [[nodiscard]] std::uint32_t at(std::size_t member) const { return slots_[member].offset; }
    [[nodiscard]] std::optional<std::uint32_t> offset(std::size_t member) const {
        if (!has(member)) return std::nullopt;
        return at(member);
    }
    [[nodiscard]] const MemberSlot& slot(std::size_t member) const { return slots_[member]; }
    [[nodiscard]] std::uint64_t struct_size(std::size_t index) const { return sizes_[index]; }  // bytes

private:
    friend Result<Members> resolve_members(const TypeCatalog&, const NeedGroup&);
    std::vector<MemberSlot> slots_;
    std::vector<std::uint64_t> sizes_;
};

// An absent slot when no alternative is there in the shape wanted.
[[nodiscard]] MemberSlot resolve_member(const TypeCatalog& types, const MemberNeed& need);

// not_found names what is missing of that which is required.
Result<Members> resolve_members(const TypeCatalog& types, const NeedGroup& group);

}  // namespace vitrine
