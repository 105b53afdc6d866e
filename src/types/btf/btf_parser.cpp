// BTF -> TypeCatalog. Two passes over the records: the first checks their bounds and counts, so that the second fills
// tables of exactly the right size; memory is a small multiple of the blob's.
#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "types/btf/btf_format.h"
#include "vitrine/types/catalog_builder.h"

namespace vitrine {
namespace btf {
namespace {

constexpr std::uint32_t kInfoReserved = 0x60ff0000;  // bits of info that no kind uses
constexpr std::uint32_t kMemberSize = 12;
constexpr std::uint32_t kParameterSize = 8;

Error malformed(TypeId id, std::uint32_t kind, std::string_view text) {
    return Error::with_text(Errc::malformed, Origin::types,
                            fmt::format("BTF type {} ({}): {}", id, kind_name(kind), text));
}

// Bytes that follow the 12 of the record; kind is a known one.
std::uint64_t extra_size(std::uint32_t kind, std::uint64_t vlen) {
    switch (kind) {
        case kInt:
        case kVar:
        case kDeclTag: return 4;
        case kArray: return 12;
        case kStruct:
        case kUnion:
        case kDataSec:
        case kEnum64: return 12 * vlen;
        case kEnum:
        case kFuncProto: return 8 * vlen;
        default: return 0;
    }
}

// An INT that does not fill its bytes. Until pahole 1.13 a bit-field was a member of such a type (kernel:
// btf_int_check_member), since then it is a member with kind_flag and a type that does.
struct PartialInteger {
    TypeId id = 0;
    std::uint32_t bits = 0;
    std::uint32_t offset = 0;
};

struct Counts {
    std::size_t types = 0;
    std::size_t members = 0;
    std::size_t enumerators = 0;
    std::vector<PartialInteger> partial;  // ids rise
};

// Calls visit(id, record) -> Result<void> for each record of the section, ids from first_id on.
template <class Visit>
Result<void> for_each_record(std::span<const std::byte> types, TypeId first_id, Visit&& visit) {
    TypeId id = first_id;
    for (std::size_t at = 0; at < types.size(); ++id) {
        if (types.size() - at < kRecordSize) return malformed(id, 0, "record is cut short");
        const std::byte* bytes = types.data() + at;
        const auto info = load<std::uint32_t>(bytes + 4);
        const Record record{load<std::uint32_t>(bytes),     info >> 24 & 0x1f,  info & 0xffff, (info >> 31) != 0,
                            load<std::uint32_t>(bytes + 8), bytes + kRecordSize};
        if (record.kind == 0 || record.kind > kMaxKind) {
            return Error::with_text(Errc::unsupported, Origin::types,
                                    fmt::format("BTF type {}: unknown kind {}", id, record.kind));
        }
        if ((info & kInfoReserved) != 0) return malformed(id, record.kind, "reserved bits are set");
        const std::uint64_t extra = extra_size(record.kind, record.vlen);
        at += kRecordSize;
        if (types.size() - at < extra) return malformed(id, record.kind, "record is cut short");
        at += static_cast<std::size_t>(extra);
        VITRINE_CHECK(visit(id, record));
    }
    return {};
}

Result<Counts> count_records(std::span<const std::byte> types, TypeId first_id) {
    Counts counts;
    VITRINE_CHECK(for_each_record(types, first_id, [&](TypeId id, const Record& r) -> Result<void> {
        ++counts.types;
        switch (r.kind) {
            case kInt: {
                const auto encoding = load<std::uint32_t>(r.extra);
                const PartialInteger integer{id, encoding & 0xff, encoding >> 16 & 0xff};
                if (integer.bits != 0 && integer.bits != r.size_or_type * 8) counts.partial.push_back(integer);
                break;
            }
            case kStruct:
            case kUnion:
            case kFuncProto:
            case kDataSec: counts.members += r.vlen; break;
            case kEnum:
            case kEnum64: counts.enumerators += r.vlen; break;
            default: break;
        }
        return {};
    }));
    return counts;
}

// The second pass: records into a builder whose string arena is already in place.
class Filler {
public:
    Filler(CatalogBuilder& builder, std::uint32_t string_limit, std::span<const PartialInteger> partial)
        : builder_(builder), string_limit_(string_limit), partial_(partial) {}

    Result<void> run(std::span<const std::byte> types) {
        return for_each_record(types, static_cast<TypeId>(builder_.size()),
                               [this](TypeId id, const Record& r) { return add(id, r); });
    }

private:
    Result<void> add(TypeId id, const Record& r) {
        if (bad_name(r.name)) return name_error(id, r);
        Type type;
        type.name = r.name;
        switch (r.kind) {
            case kInt: VITRINE_CHECK(integer(id, r, type)); break;
            case kFloat:
                type.kind = TypeKind::floating;
                type.size = r.size_or_type;
                if (type.size == 0 || type.size > 16) return malformed(id, r.kind, "absurd size");
                break;
            case kArray:
                type.kind = TypeKind::array;
                type.target = load<std::uint32_t>(r.extra);
                type.count = load<std::uint32_t>(r.extra + 8);
                break;
            case kStruct:
            case kUnion: VITRINE_CHECK(aggregate(id, r, type)); break;
            case kEnum:
            case kEnum64: VITRINE_CHECK(enumeration(id, r, type)); break;
            case kFwd:
                type.kind = TypeKind::forward;
                type.forward_is_union = r.kind_flag;
                break;
            case kFuncProto: VITRINE_CHECK(prototype(id, r, type)); break;
            case kDataSec: section(r, type); break;
            default:
                type.kind = reference_kind(r.kind);
                type.target = r.size_or_type;
                break;
        }
        builder_.add(type);
        return {};
    }

    static TypeKind reference_kind(std::uint32_t kind) {
        switch (kind) {
            case kPtr: return TypeKind::pointer;
            case kTypedef: return TypeKind::typedef_;
            case kVolatile: return TypeKind::volatile_;
            case kConst: return TypeKind::const_;
            case kRestrict: return TypeKind::restrict_;
            case kFunc: return TypeKind::function;
            case kVar: return TypeKind::variable;
            case kDeclTag: return TypeKind::declaration_tag;
            default: return TypeKind::type_tag;
        }
    }

    [[nodiscard]] bool bad_name(std::uint32_t name) const { return name >= string_limit_; }
    static Error name_error(TypeId id, const Record& r) {
        return malformed(id, r.kind, "name outside the string section");
    }

    static Result<void> integer(TypeId id, const Record& r, Type& type) {
        const auto encoding = load<std::uint32_t>(r.extra);
        const std::uint32_t bits = encoding & 0xff;
        type.kind = TypeKind::integer;
        type.size = r.size_or_type;
        type.is_signed = (encoding >> 24 & 1) != 0;
        const bool size_known = type.size == 1 || type.size == 2 || type.size == 4 || type.size == 8 || type.size == 16;
        if (!size_known || (encoding >> 16 & 0xff) + bits > type.size * 8) return malformed(id, r.kind, "absurd size");
        return {};
    }

    Result<void> aggregate(TypeId id, const Record& r, Type& type) {
        type.kind = r.kind == kStruct ? TypeKind::structure : TypeKind::union_;
        type.size = r.size_or_type;
        type.count = r.vlen;
        const std::byte* bytes = r.extra;
        for (Member& m : builder_.append_members(r.vlen, type.first)) {
            const auto offset = load<std::uint32_t>(bytes + 8);
            m.name = load<std::uint32_t>(bytes);
            if (bad_name(m.name)) return name_error(id, r);
            m.type = load<std::uint32_t>(bytes + 4);
            m.bit_offset = r.kind_flag ? offset & 0xffffff : offset;
            m.bit_size = r.kind_flag ? offset >> 24 : 0;
            if (!r.kind_flag && !partial_.empty()) narrow(m);
            bytes += kMemberSize;
        }
        return {};
    }

    void narrow(Member& member) const {
        const auto it = std::ranges::lower_bound(partial_, member.type, {}, &PartialInteger::id);
        if (it == partial_.end() || it->id != member.type) return;
        member.bit_offset += it->offset;
        member.bit_size = it->bits;
    }

    Result<void> enumeration(TypeId id, const Record& r, Type& type) {
        type.kind = TypeKind::enumeration;
        type.size = r.size_or_type;
        type.is_signed = r.kind_flag;
        type.count = r.vlen;
        if (type.size != 1 && type.size != 2 && type.size != 4 && type.size != 8)
            return malformed(id, r.kind, "absurd size");
        const std::size_t stride = r.kind == kEnum ? 8 : 12;
        for (std::uint32_t i = 0; i < r.vlen; ++i) {
            const std::byte* bytes = r.extra + i * stride;
            Enumerator e;
            e.name = load<std::uint32_t>(bytes);
            if (bad_name(e.name)) return name_error(id, r);
            const auto low = load<std::uint32_t>(bytes + 4);
            if (r.kind == kEnum64) {
                e.value = static_cast<std::int64_t>(std::uint64_t{load<std::uint32_t>(bytes + 8)} << 32 | low);
            } else {
                e.value = r.kind_flag ? std::int64_t{static_cast<std::int32_t>(low)} : std::int64_t{low};
            }
            const std::uint32_t index = builder_.add_enumerator(e);
            if (i == 0) type.first = index;
        }
        return {};
    }

    Result<void> prototype(TypeId id, const Record& r, Type& type) {
        type.kind = TypeKind::function_prototype;
        type.target = r.size_or_type;
        type.count = r.vlen;
        const std::byte* bytes = r.extra;
        for (Member& m : builder_.append_members(r.vlen, type.first)) {
            m.name = load<std::uint32_t>(bytes);
            if (bad_name(m.name)) return name_error(id, r);
            m.type = load<std::uint32_t>(bytes + 4);
            bytes += kParameterSize;
        }
        return {};
    }

    void section(const Record& r, Type& type) {
        type.kind = TypeKind::section;
        type.size = r.size_or_type;
        type.count = r.vlen;
        const std::byte* bytes = r.extra;
        for (Member& m : builder_.append_members(r.vlen, type.first)) {
            m = {0, load<std::uint32_t>(bytes), std::uint64_t{load<std::uint32_t>(bytes + 4)} * 8,
                 load<std::uint32_t>(bytes + 8)};
            bytes += kMemberSize;
        }
    }

    CatalogBuilder& builder_;
    std::uint32_t string_limit_;
    std::span<const PartialInteger> partial_;
};

Result<void> fill(CatalogBuilder& builder, const Sections& sections, std::uint32_t string_limit) {
    const Counts counts = VITRINE_TRY(count_records(sections.types, static_cast<TypeId>(builder.size())));
    // The string section becomes the arena as it is, so that offsets into it stay what they are.
    const auto* names = reinterpret_cast<const char*>(sections.strings.data());
    builder.adopt_strings({names, names + sections.strings.size()});
    builder.reserve(counts.types + 1, counts.members, counts.enumerators);
    return Filler(builder, string_limit, counts.partial).run(sections.types);
}

}  // namespace
}  // namespace btf

Result<std::shared_ptr<const TypeCatalog>> parse_btf(std::span<const std::byte> blob, std::string origin) {
    const btf::Sections sections = VITRINE_TRY(btf::split_sections(blob, false));
    CatalogBuilder builder;
    VITRINE_CHECK(btf::fill(builder, sections, static_cast<std::uint32_t>(sections.strings.size())));
    return builder.build(std::move(origin));
}

Result<std::shared_ptr<const TypeCatalog>> parse_split_btf(std::shared_ptr<const TypeCatalog> base,
                                                           std::span<const std::byte> split_blob, std::string origin) {
    const btf::Sections sections = VITRINE_TRY(btf::split_sections(split_blob, true));
    const std::size_t strings_end = base->own_names().size() +
                                    sections.strings.size();  // of two blobs of at most kMaxBlob
    const std::uint32_t pointer_size = base->pointer_size();
    CatalogBuilder builder(std::move(base));
    VITRINE_CHECK(btf::fill(builder, sections, static_cast<std::uint32_t>(strings_end)));
    return builder.build(std::move(origin), pointer_size);
}

Result<std::shared_ptr<const TypeCatalog>> parse_split_btf(std::span<const std::byte> base_blob,
                                                           std::span<const std::byte> split_blob, std::string origin) {
    auto base = VITRINE_TRY(parse_btf(base_blob, origin));
    return parse_split_btf(std::move(base), split_blob, std::move(origin));
}

}  // namespace vitrine
