#include "vitrine/types/member_need.h"

#include <fmt/format.h>

namespace vitrine {
namespace {

// No structure asked for comes near it; offsets below it add up without wrapping.
constexpr std::uint64_t kLargestStructure = 1u << 20;

bool is_power_of_two_up_to_8(std::uint64_t size) { return size == 1 || size == 2 || size == 4 || size == 8; }

// A member whose type has become another one would be read as what it is not; it is as good as absent.
bool has_shape(const TypeCatalog& types, const Field& field, MemberShape shape) {
    constexpr std::uint64_t kShortestText = 16;  // TASK_COMM_LEN
    const Type& type = *types.type(types.strip(field.type));
    const bool is_structure = type.kind == TypeKind::structure || type.kind == TypeKind::union_;
    // DWARF may keep a definition apart (-fdebug-types-section): what is only declared, or has no size, tells nothing of its shape.
    if (type.kind == TypeKind::forward || type.kind == TypeKind::void_ || (is_structure && type.size == 0)) {
        return shape != MemberShape::pointer && shape != MemberShape::text && shape != MemberShape::records &&
               shape != MemberShape::array && shape != MemberShape::number;
    }
    // atomic_t and kuid_t are integers, each in a structure of its own.
    const bool is_number = type.kind == TypeKind::integer || type.kind == TypeKind::enumeration || is_structure;
    const bool is_array = type.kind == TypeKind::array;
    switch (shape) {
        case MemberShape::pointer: return type.kind == TypeKind::pointer && field.size == types.pointer_size();
        case MemberShape::u32: return is_number && field.size == 4;
        case MemberShape::u64: return is_number && field.size == 8;
        case MemberShape::word: return is_number && (field.size == 4 || field.size == 8);
        case MemberShape::list: return is_structure && field.size == 2 * types.pointer_size();
        case MemberShape::text: return is_array && types.size_of(type.target) == 1 && field.size >= kShortestText;
        case MemberShape::record: return is_structure;
        case MemberShape::records:
            return is_array && types.type(types.strip(type.target))->kind == TypeKind::structure && field.size != 0;
        case MemberShape::number: return is_number && is_power_of_two_up_to_8(field.size);
        case MemberShape::array: return is_array;
        case MemberShape::any: return true;
    }
    return false;
}

// The fewest bytes, 1 to 8 of them, that hold the bits; absent when no such bytes do.
MemberSlot bit_field(const Field& field, std::uint8_t alternative) {
    for (const std::uint32_t size : {1u, 2u, 4u, 8u}) {
        const std::uint64_t offset = field.bit_offset / 8 / size * size;
        const std::uint64_t shift = field.bit_offset - offset * 8;
        if (shift + field.bit_size > size * 8u) continue;
        return {static_cast<std::uint32_t>(offset),       size, true, alternative, static_cast<std::uint8_t>(shift),
                static_cast<std::uint8_t>(field.bit_size)};
    }
    return {};
}

}  // namespace

MemberSlot resolve_member(const TypeCatalog& types, const MemberNeed& need) {
    const auto structure = types.find(fmt::format("struct {}", need.structure));
    if (!structure) return {};
    for (std::size_t i = 0; i < need.paths.size() && !need.paths[i].empty(); ++i) {
        const auto field = types.field(*structure, need.paths[i]);
        if (!field) continue;
        if (field->offset() > kLargestStructure || field->size > kLargestStructure - field->offset()) continue;
        const auto alternative = static_cast<std::uint8_t>(i);
        if (field->bit_size != 0) {
            if (need.shape == MemberShape::number && field->bit_size <= 64) return bit_field(*field, alternative);
            continue;
        }
        if (!has_shape(types, *field, need.shape)) continue;
        return {static_cast<std::uint32_t>(field->offset()), static_cast<std::uint32_t>(field->size), true,
                alternative};
    }
    return {};
}

Result<Members> resolve_members(const TypeCatalog& types, const NeedGroup& group) {
    Members members;
    std::string missing;
    const auto miss = [&](const std::string& what) { missing += (missing.empty() ? "" : ", ") + what; };
    for (const MemberNeed& need : group.members) {
        members.slots_.push_back(resolve_member(types, need));
        if (need.required && !members.slots_.back().present) miss(fmt::format("{}.{}", need.structure, need.paths[0]));
    }
    for (const std::string_view name : group.sizes) {
        const auto type = types.find(fmt::format("struct {}", name));
        const auto size = type ? types.size_of(*type) : std::nullopt;
        members.sizes_.push_back(size && *size <= kLargestStructure ? *size : 0);
        if (members.sizes_.back() == 0) miss(fmt::format("struct {}", name));
    }
    if (missing.empty()) return members;
    return Error::with_text(Errc::not_found, Origin::types,
                            fmt::format("this kernel's types lack what {} need: {}", group.name, missing),
                            "vitrine types TARGET TYPE shows what there is of a type");
}

}  // namespace vitrine
