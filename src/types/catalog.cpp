#include "vitrine/types/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "types/name_hash.h"

namespace vitrine {
namespace {

// Typedefs, modifiers and array dimensions in a row. The kernel's own BTF verifier stops at 32 (MAX_RESOLVE_DEPTH).
constexpr unsigned kMaxChain = 64;

constexpr std::array kFindOrder = {TypeKind::structure, TypeKind::union_,  TypeKind::enumeration,
                                   TypeKind::typedef_,  TypeKind::integer, TypeKind::floating};

bool is_transparent(TypeKind kind) {
    return kind == TypeKind::typedef_ || kind == TypeKind::volatile_ || kind == TypeKind::const_ ||
           kind == TypeKind::restrict_ || kind == TypeKind::type_tag;
}

}  // namespace

// "struct x" is {"x", structure}; "x" is {"x", any}.
struct TypeCatalog::NameQuery {
    std::string_view name;
    std::optional<TypeKind> kind;

    explicit NameQuery(std::string_view text) : name(text) {
        constexpr std::pair<std::string_view, TypeKind> kKeywords[] = {
            {"struct ", TypeKind::structure}, {"union ", TypeKind::union_}, {"enum ", TypeKind::enumeration}};
        for (const auto& [keyword, wanted] : kKeywords) {
            if (!text.starts_with(keyword)) continue;
            name = text.substr(keyword.size());
            kind = wanted;
            return;
        }
    }
};

std::string_view to_string(TypeKind kind) {
    switch (kind) {
        case TypeKind::void_: return "void";
        case TypeKind::integer: return "integer";
        case TypeKind::pointer: return "pointer";
        case TypeKind::array: return "array";
        case TypeKind::structure: return "structure";
        case TypeKind::union_: return "union";
        case TypeKind::enumeration: return "enumeration";
        case TypeKind::forward: return "forward declaration";
        case TypeKind::typedef_: return "typedef";
        case TypeKind::volatile_: return "volatile";
        case TypeKind::const_: return "const";
        case TypeKind::restrict_: return "restrict";
        case TypeKind::function: return "function";
        case TypeKind::function_prototype: return "function prototype";
        case TypeKind::variable: return "variable";
        case TypeKind::section: return "section";
        case TypeKind::floating: return "floating point";
        case TypeKind::declaration_tag: return "declaration tag";
        case TypeKind::type_tag: return "type tag";
    }
    return "unknown";
}

std::string_view TypeCatalog::name(std::uint32_t name_offset) const {
    const std::uint32_t own = name_offset - bases_.strings;     // of a base's name: too large
    if (own < strings_.size()) return {strings_.data() + own};  // each arena's last byte is NUL
    return base_ ? base_->name(name_offset) : std::string_view();
}

std::string_view TypeCatalog::type_name(TypeId id) const {
    if (id == 0) return "void";
    const Type* of = type(id);
    return of != nullptr ? name(of->name) : std::string_view();
}

std::span<const Member> TypeCatalog::members(const Type& type) const {
    switch (type.kind) {
        case TypeKind::structure:
        case TypeKind::union_:
        case TypeKind::function_prototype:
        case TypeKind::section: break;
        default: return {};
    }
    if (base_ && type.first < bases_.members) return base_->members(type);
    const std::uint32_t first = type.first - bases_.members;
    if (std::uint64_t{first} + type.count > members_.size()) return {};  // a Type that is not this catalog's
    return std::span(members_).subspan(first, type.count);
}

std::span<const Enumerator> TypeCatalog::enumerators(const Type& type) const {
    if (type.kind != TypeKind::enumeration) return {};
    if (base_ && type.first < bases_.enumerators) return base_->enumerators(type);
    const std::uint32_t first = type.first - bases_.enumerators;
    if (std::uint64_t{first} + type.count > enumerators_.size()) return {};
    return std::span(enumerators_).subspan(first, type.count);
}

std::vector<TypeId> TypeCatalog::candidates(const NameQuery& query) const {
    std::vector<TypeId> found;
    std::size_t looked = 0;
    add_candidates(query, looked, found);
    return found;
}

void TypeCatalog::add_candidates(const NameQuery& query, std::size_t& looked, std::vector<TypeId>& found) const {
    if (base_) base_->add_candidates(query, looked, found);
    const std::pair<std::uint64_t, TypeId> from{name_hash(query.name), 0};
    auto it = std::lower_bound(by_name_.begin(), by_name_.end(), from);
    for (; it != by_name_.end() && it->first == from.first && looked < kMaxSameName; ++it, ++looked) {
        const Type& of = *type(it->second);
        if (query.kind && of.kind != *query.kind) continue;
        if (name(of.name) == query.name) found.push_back(it->second);
    }
}

bool TypeCatalog::same_definition(const Type& a, const Type& b) const {
    if (a.size != b.size || a.is_signed != b.is_signed) return false;
    if (a.kind == TypeKind::typedef_) return a.target == b.target || size_of(a.target) == size_of(b.target);
    const auto same_name = [this](std::uint32_t x, std::uint32_t y) { return x == y || name(x) == name(y); };
    return std::ranges::equal(members(a), members(b),
                              [&](const Member& x, const Member& y) {
                                  return x.bit_offset == y.bit_offset && x.bit_size == y.bit_size &&
                                         same_name(x.name, y.name);
                              }) &&
           std::ranges::equal(enumerators(a), enumerators(b), [&](const Enumerator& x, const Enumerator& y) {
               return x.value == y.value && same_name(x.name, y.name);
           });
}

Result<TypeId> TypeCatalog::choose(const NameQuery& query, std::span<const TypeId> found) const {
    for (const TypeKind kind : kFindOrder) {
        std::optional<TypeId> first;
        for (const TypeId id : found) {
            if (type(id)->kind != kind) continue;
            if (!first) {
                first = id;
            } else if (!same_definition(*type(*first), *type(id))) {
                return Error::with_text(Errc::ambiguous, Origin::types,
                                        fmt::format("{} '{}' has several different definitions in {}", to_string(kind),
                                                    query.name, origin_));
            }
        }
        if (first) return *first;
    }
    return Error::with_text(Errc::not_found, Origin::types, fmt::format("no type '{}' in {}", query.name, origin_));
}

Result<TypeId> TypeCatalog::find(std::string_view text) const {
    const NameQuery query(text);
    const std::vector<TypeId> found = candidates(query);
    // Ids rise within one name: the base's definitions come first.
    const auto base_end = std::ranges::lower_bound(found, base_end_);
    if (base_end != found.begin()) return choose(query, {found.begin(), base_end});
    return choose(query, found);
}

std::vector<TypeId> TypeCatalog::find_all(std::string_view text) const { return candidates(NameQuery(text)); }

std::vector<TypeId> TypeCatalog::all_named(std::string_view wanted) const {
    std::vector<TypeId> found;
    add_named(wanted, found);
    return found;
}

void TypeCatalog::add_named(std::string_view wanted, std::vector<TypeId>& found) const {
    if (base_) base_->add_named(wanted, found);
    const std::uint64_t hash = name_hash(wanted);
    auto it = std::lower_bound(by_name_.begin(), by_name_.end(), std::pair<std::uint64_t, TypeId>{hash, 0});
    for (; it != by_name_.end() && it->first == hash; ++it) {
        if (name(type(it->second)->name) == wanted) found.push_back(it->second);
    }
}

std::size_t TypeCatalog::own_bytes() const {
    return sizeof *this + types_.capacity() * sizeof(Type) + members_.capacity() * sizeof(Member) +
           enumerators_.capacity() * sizeof(Enumerator) + strings_.capacity() +
           by_name_.capacity() * sizeof(by_name_[0]);
}

TypeId TypeCatalog::strip(TypeId id) const {
    for (unsigned depth = 0; depth < kMaxChain; ++depth) {
        const Type* of = type(id);
        if (of == nullptr) return 0;
        if (!is_transparent(of->kind)) return id;
        id = of->target;
    }
    return 0;
}

std::optional<std::uint64_t> TypeCatalog::size_of(TypeId id) const {
    std::uint64_t elements = 1;
    for (unsigned depth = 0; depth < kMaxChain; ++depth) {
        id = strip(id);
        const Type& of = *type(id);
        std::uint64_t size = 0;
        switch (of.kind) {
            case TypeKind::array:
                if (__builtin_mul_overflow(elements, std::uint64_t{of.count}, &elements)) return std::nullopt;
                id = of.target;
                continue;
            case TypeKind::pointer: size = pointer_size_; break;
            case TypeKind::integer:
            case TypeKind::structure:
            case TypeKind::union_:
            case TypeKind::enumeration:
            case TypeKind::floating: size = of.size; break;
            default: return std::nullopt;
        }
        if (__builtin_mul_overflow(elements, size, &size)) return std::nullopt;
        return size;
    }
    return std::nullopt;
}

Result<std::int64_t> TypeCatalog::enumerator(std::string_view enumeration, std::string_view wanted) const {
    std::optional<std::int64_t> value;
    const auto look_in = [&](TypeId id) {  // false: a second, different value
        for (const Enumerator& e : enumerators(*type(id))) {
            if (name(e.name) != wanted) continue;
            if (value && *value != e.value) return false;
            value = e.value;
        }
        return true;
    };
    bool unique = true;
    if (!enumeration.empty()) {
        unique = look_in(strip(VITRINE_TRY(find(enumeration))));
    } else {
        for (TypeId id = 0; id < size() && unique; ++id) unique = look_in(id);
    }
    if (!unique) {
        return Error::with_text(Errc::ambiguous, Origin::types,
                                fmt::format("enumerator '{}' has several values in {}", wanted, origin_));
    }
    if (value) return *value;
    return Error::with_text(Errc::not_found, Origin::types,
                            enumeration.empty() ? fmt::format("no enumerator '{}' in {}", wanted, origin_)
                                                : fmt::format("no enumerator '{}' in '{}'", wanted, enumeration));
}

}  // namespace vitrine
