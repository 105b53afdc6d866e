#include "types/dwarf/type_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "types/dwarf/attributes.h"

namespace vitrine::dwarf {
namespace {

constexpr TypeId kOpen = std::numeric_limits<TypeId>::max();
constexpr unsigned kMaxDepth = 200;
constexpr std::size_t kMaxTypes = 8u << 20;
constexpr std::uint64_t kMaxMemberOffset = std::uint64_t{1} << 48;

// What a member's declaration says: "pointer, const, struct list_head". Equal in all units that include the same header,
// whether they have the structure's definition or its declaration only.
void add_type_name(Key& key, Dwarf_Die type) {
    constexpr unsigned kMaxWords = 8;
    for (unsigned i = 0; i < kMaxWords; ++i) {
        const std::string_view name = name_of(type);
        key.number(static_cast<std::uint64_t>(dwarf_tag(&type))).text(name);
        Dwarf_Die next;
        if (!name.empty() || !referenced(type, next)) return;
        type = next;
    }
}

Error too_deep() { return Error::with_text(Errc::cycle, Origin::types, "DWARF types refer to themselves"); }

}  // namespace

bool TypeReader::is_c(Dwarf_Die& unit) const {
    switch (dwarf_srclang(&unit)) {
        case DW_LANG_C89:
        case DW_LANG_C:
        case DW_LANG_C99:
        case DW_LANG_C11:
        case 0x2c /* DW_LANG_C17 */: return true;
        // A partial unit (shared parts, as made by dwz) names no language; it is read where it is referred to.
        default: return false;
    }
}

Result<void> TypeReader::read_unit(Dwarf_Die& unit) {
    known_.clear();
    std::optional<Error> error;
    for_each_child(unit, [&](Dwarf_Die& child, int tag) {
        const bool wanted = tag == DW_TAG_base_type || tag == DW_TAG_structure_type || tag == DW_TAG_union_type ||
                            tag == DW_TAG_enumeration_type || tag == DW_TAG_typedef;
        if (error || !wanted) return;
        auto id = intern(child, 0);
        if (!id) error = std::move(id).error();
    });
    if (error) return *error;
    VITRINE_CHECK(fill_pending());
    if (store_.size() > kMaxTypes) {
        return Error::with_text(Errc::limit, Origin::types, fmt::format("more than {} different types", kMaxTypes));
    }
    return {};
}

Result<TypeId> TypeReader::type_of(Dwarf_Die& die, unsigned depth) {
    Dwarf_Die target;
    if (!referenced(die, target)) return TypeId{0};
    return intern(target, depth + 1);
}

Result<TypeId> TypeReader::intern(Dwarf_Die& die, unsigned depth) {
    if (depth > kMaxDepth) return too_deep();
    const void* const place = die.addr;
    const auto [it, is_new] = known_.try_emplace(place, kOpen);
    if (!is_new) {
        if (it->second == kOpen) return too_deep();
        return it->second;
    }
    const TypeId id = VITRINE_TRY(intern_new(die, dwarf_tag(&die), depth));
    known_[place] = id;
    return id;
}

Result<TypeId> TypeReader::intern_new(Dwarf_Die& die, int tag, unsigned depth) {
    if (const auto kind = modifier_kind(tag)) return reference(die, *kind, depth);
    switch (tag) {
        case DW_TAG_base_type: return base(die);
        case DW_TAG_structure_type: return aggregate(die, TypeKind::structure, depth);
        case DW_TAG_union_type: return aggregate(die, TypeKind::union_, depth);
        case DW_TAG_enumeration_type: return enumeration(die);
        case DW_TAG_array_type: return array(die, depth);
        case DW_TAG_subroutine_type: return prototype(die, depth);
        case DW_TAG_atomic_type: return type_of(die, depth);
        default: return TypeId{0};  // no C type: unspecified, as in assembler units
    }
}

Result<TypeId> TypeReader::base(Dwarf_Die& die) {
    Type type;
    const std::string_view name = name_of(die);
    type.size = number(die, DW_AT_byte_size).value_or(0);
    const std::uint64_t encoding = number(die, DW_AT_encoding).value_or(0);
    type.kind = encoding == DW_ATE_float || encoding == DW_ATE_complex_float ? TypeKind::floating : TypeKind::integer;
    type.is_signed = encoding == DW_ATE_signed || encoding == DW_ATE_signed_char;
    type.name = store_.string(name);
    return store_.intern(Key(type.kind).text(name).number(type.size).number(encoding), type);
}

Result<TypeId> TypeReader::reference(Dwarf_Die& die, TypeKind kind, unsigned depth) {
    Type type;
    type.kind = kind;
    type.target = VITRINE_TRY(type_of(die, depth));
    const std::string_view name = kind == TypeKind::typedef_ ? name_of(die) : std::string_view();
    type.name = store_.string(name);
    return store_.intern(Key(kind).text(name).number(type.target), type);
}

Result<TypeId> TypeReader::array(Dwarf_Die& die, unsigned depth) {
    std::vector<std::uint32_t> dimensions;
    for_each_child(die, [&](Dwarf_Die& child, int tag) {
        if (tag == DW_TAG_subrange_type && dimensions.size() < kMaxDepth) dimensions.push_back(element_count(child));
    });
    if (dimensions.empty()) dimensions.push_back(0);
    TypeId id = VITRINE_TRY(type_of(die, depth));
    for (auto count = dimensions.rbegin(); count != dimensions.rend(); ++count) {
        Type type;
        type.kind = TypeKind::array;
        type.target = id;
        type.count = *count;
        id = store_.intern(Key(type.kind).number(id).number(*count), type);
    }
    return id;
}

Result<TypeId> TypeReader::enumeration(Dwarf_Die& die) {
    const std::string_view name = name_of(die);
    const bool is_declaration = flag(die, DW_AT_declaration);
    if (is_declaration && name.empty()) return TypeId{0};
    Type type;
    type.kind = TypeKind::enumeration;
    type.size = is_declaration ? 0 : number(die, DW_AT_byte_size).value_or(4);
    type.name = store_.string(name);
    std::vector<Enumerator> enumerators;
    Key key(type.kind);
    key.text(name).number(type.size);
    for_each_child(die, [&](Dwarf_Die& child, int tag) {
        if (tag != DW_TAG_enumerator) return;
        Dwarf_Attribute storage;
        Dwarf_Attribute* found = dwarf_attr(&child, DW_AT_const_value, &storage);
        Dwarf_Sword value = 0;
        if (found == nullptr || dwarf_formsdata(found, &value) != 0) return;
        // dataN forms carry no sign: GCC writes 0xff for 255 as data1 and negative values as sdata.
        const unsigned form = dwarf_whatform(found);
        Dwarf_Word bits = 0;
        if (form != DW_FORM_sdata && form != DW_FORM_implicit_const && dwarf_formudata(found, &bits) == 0) {
            value = static_cast<Dwarf_Sword>(bits);
        }
        type.is_signed = type.is_signed || (value < 0 && form != DW_FORM_data8 && form != DW_FORM_udata);
        enumerators.push_back({store_.string(name_of(child)), value});
        key.text(name_of(child)).number(static_cast<std::uint64_t>(value));
    });
    if (const TypeId known = store_.lookup(key); known != 0) return known;
    const TypeId id = store_.add(key, type);
    store_.set_enumerators(id, enumerators);
    return id;
}

Result<TypeId> TypeReader::prototype(Dwarf_Die& die, unsigned depth) {
    Type type;
    type.kind = TypeKind::function_prototype;
    type.target = VITRINE_TRY(type_of(die, depth));
    std::vector<Member> parameters;
    std::optional<Error> error;
    Key key(type.kind);
    key.number(type.target);
    for_each_child(die, [&](Dwarf_Die& child, int tag) {
        if (error || (tag != DW_TAG_formal_parameter && tag != DW_TAG_unspecified_parameters)) return;
        Member parameter;
        if (tag == DW_TAG_formal_parameter) {
            auto id = type_of(child, depth);
            if (!id) {
                error = std::move(id).error();
                return;
            }
            parameter.type = *id;
        }
        parameters.push_back(parameter);
        key.number(parameter.type);
    });
    if (error) return *error;
    if (const TypeId known = store_.lookup(key); known != 0) return known;
    const TypeId id = store_.add(key, type);
    store_.set_members(id, parameters);
    return id;
}

std::optional<TypeReader::RawMember> TypeReader::raw_member(Dwarf_Die& die) const {
    using A = MemberAttributes;
    A attributes(die);
    RawMember m;
    m.name = text_of(attributes.get(A::name));
    Dwarf_Attribute* type = attributes.get(A::type);
    m.has_type = type != nullptr && dwarf_formref_die(type, &m.type) != nullptr;
    const auto location = member_location(attributes.get(A::location));
    if (!location || *location > kMaxMemberOffset || is_set(attributes.get(A::external))) return std::nullopt;
    m.bit_offset = *location * 8;
    const auto bits = value_of(attributes.get(A::bit_size));
    if (!bits) return m;
    if (*bits > 255) return std::nullopt;
    m.bit_size = static_cast<std::uint32_t>(*bits);
    if (const auto absolute = value_of(attributes.get(A::data_bit_offset))) {
        m.bit_offset = *absolute;
        return m;
    }
    // DWARF 2 and 3 count from the most significant bit of the storage unit.
    const auto from_top = value_of(attributes.get(A::bit_offset));
    if (!from_top) return m;  // the first bit-field of a unit may carry neither
    auto storage = value_of(attributes.get(A::byte_size));
    Dwarf_Word size = 0;
    if (!storage && m.has_type && dwarf_aggregate_size(&m.type, &size) == 0) storage = size;
    if (!storage || *storage > 16 || *storage * 8 < *from_top + *bits) return std::nullopt;
    m.bit_offset += *storage * 8 - *from_top - *bits;
    return m;
}

std::vector<TypeReader::RawMember> TypeReader::raw_members(Dwarf_Die& die, std::uint64_t size) const {
    std::vector<RawMember> members;
    for_each_child(die, [&](Dwarf_Die& child, int tag) {
        if (tag != DW_TAG_member) return;
        auto m = raw_member(child);
        if (m && m->bit_offset <= size * 8) members.push_back(*m);
    });
    return members;
}

Result<TypeId> TypeReader::aggregate(Dwarf_Die& die, TypeKind kind, unsigned depth) {
    const std::string_view name = name_of(die);
    Type type;
    type.name = store_.string(name);
    if (flag(die, DW_AT_declaration)) {
        if (name.empty()) return TypeId{0};
        type.kind = TypeKind::forward;
        type.forward_is_union = kind == TypeKind::union_;
        return store_.intern(Key(type.kind).text(name).number(type.forward_is_union ? 1 : 0), type);
    }
    type.kind = kind;
    type.size = number(die, DW_AT_byte_size).value_or(0);
    const std::vector<RawMember> raw = raw_members(die, type.size);
    if (name.empty()) return anonymous(type, raw, depth);
    // The key of a named structure only names its members' types: they may lead back to it.
    Key key(kind);
    key.text(name).number(type.size);
    for (const RawMember& m : raw) {
        key.text(m.name).number(m.bit_offset).number(m.bit_size);
        if (m.has_type) add_type_name(key, m.type);
    }
    if (const TypeId known = store_.lookup(key); known != 0) return known;
    const TypeId id = store_.add(key, type);
    pending_.push_back({die, id});
    return id;
}

Result<TypeId> TypeReader::anonymous(const Type& type, const std::vector<RawMember>& raw, unsigned depth) {
    const std::vector<Member> members = VITRINE_TRY(typed(raw, depth));
    Key key(type.kind);
    key.text("").number(type.size);
    for (const Member& m : members) key.number(m.name).number(m.type).number(m.bit_offset).number(m.bit_size);
    if (const TypeId known = store_.lookup(key); known != 0) return known;
    const TypeId id = store_.add(key, type);
    store_.set_members(id, members);
    return id;
}

Result<std::vector<Member>> TypeReader::typed(const std::vector<RawMember>& raw, unsigned depth) {
    std::vector<Member> members;
    members.reserve(raw.size());
    for (const RawMember& m : raw) {
        Dwarf_Die type = m.type;
        const TypeId id = m.has_type ? VITRINE_TRY(intern(type, depth + 1)) : 0;
        members.push_back({store_.string(m.name), id, m.bit_offset, m.bit_size});
    }
    return members;
}

// Named structures' members, when no type is half read: members lead to structures that hold the type being read.
Result<void> TypeReader::fill_pending() {
    while (!pending_.empty()) {
        Pending next = pending_.back();
        pending_.pop_back();
        const Dwarf_Die& die = next.die;
        Dwarf_Die copy = die;
        const std::uint64_t size = number(copy, DW_AT_byte_size).value_or(0);
        store_.set_members(next.id, VITRINE_TRY(typed(raw_members(copy, size), 0)));
    }
    return {};
}

}  // namespace vitrine::dwarf
