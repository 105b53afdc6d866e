// Member paths: "a.b.c", "mem[0].base", through anonymous structures, typedefs and modifiers.
#include <fmt/format.h>

#include <charconv>

#include "vitrine/types/catalog.h"

namespace vitrine {
namespace {

constexpr std::size_t kMaxPath = 1024;
constexpr unsigned kMaxAnonymousDepth = 32;
// Members looked at for one name. Anonymous structures that share an anonymous structure make the look-through tree grow
// exponentially with its depth; real structures have below 2000 members.
constexpr unsigned kMaxLooked = 1u << 18;

struct Found {
    std::uint64_t bit_offset = 0;
    const Member* member = nullptr;
};

enum class Search : std::uint8_t { found, absent, exhausted };

class MemberSearch {
public:
    MemberSearch(const TypeCatalog& catalog, std::string_view name) : catalog_(catalog), name_(name) {}

    Search run(const Type& structure, std::uint64_t base, unsigned depth, Found& out) {
        for (const Member& m : catalog_.members(structure)) {
            if (--left_ == 0) return Search::exhausted;
            std::uint64_t offset = 0;
            if (__builtin_add_overflow(base, m.bit_offset, &offset)) return Search::absent;
            if (m.name != 0) {
                if (catalog_.name(m.name) != name_) continue;
                out = {offset, &m};
                return Search::found;
            }
            const Type& inner = *catalog_.type(catalog_.strip(m.type));
            if (inner.kind != TypeKind::structure && inner.kind != TypeKind::union_) continue;
            if (depth == kMaxAnonymousDepth) return Search::exhausted;
            const Search result = run(inner, offset, depth + 1, out);
            if (result != Search::absent) return result;
        }
        return Search::absent;
    }

private:
    const TypeCatalog& catalog_;
    std::string_view name_;
    unsigned left_ = kMaxLooked;
};

Error bad_path(std::string_view path, std::string_view why) {
    return Error::with_text(Errc::usage, Origin::types, fmt::format("member path '{}': {}", path, why));
}

// Resolves one path; holds where it has got to.
class PathWalk {
public:
    PathWalk(const TypeCatalog& catalog, TypeId structure, std::string_view path)
        : catalog_(catalog), path_(path), rest_(path) {
        at_.type = structure;
        at_.size = catalog.size_of(structure).value_or(0);
    }

    Result<Field> run() {
        if (path_.empty() || path_.size() > kMaxPath) return bad_path(path_, "empty or too long");
        VITRINE_CHECK(member());
        while (!rest_.empty()) {
            const char next = rest_.front();
            rest_.remove_prefix(1);
            if (next == '[') {
                VITRINE_CHECK(element());
            } else if (next == '.') {
                VITRINE_CHECK(member());
            } else {
                return bad_path(path_, "expected '.' or '[' after ']'");
            }
        }
        return at_;
    }

private:
    Result<void> member() {
        const std::string_view name = rest_.substr(0, rest_.find_first_of(".["));
        rest_.remove_prefix(name.size());
        if (name.empty()) return bad_path(path_, "empty member name");
        const Type& type = *catalog_.type(catalog_.strip(at_.type));
        if (type.kind != TypeKind::structure && type.kind != TypeKind::union_) return not_a_structure(type, name);
        Found found;
        switch (MemberSearch(catalog_, name).run(type, at_.bit_offset, 0, found)) {
            case Search::found: break;
            case Search::absent:
                return Error::with_text(
                    Errc::not_found, Origin::types,
                    fmt::format("no member '{}' in '{}'", name, catalog_.declaration(at_.type, "")));
            case Search::exhausted:
                return Error::with_text(Errc::limit, Origin::types,
                                        fmt::format("member '{}': anonymous structures nest too deeply", name));
        }
        at_ = {found.bit_offset, found.member->bit_size, found.member->type,
               catalog_.size_of(found.member->type).value_or(0)};
        return {};
    }

    Result<void> element() {
        std::uint64_t index = 0;
        const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), index);
        const auto used = static_cast<std::size_t>(end - rest_.data());
        if (error != std::errc() || used >= rest_.size() || rest_[used] != ']') {
            return bad_path(path_, "an index is a decimal number in brackets");
        }
        rest_.remove_prefix(used + 1);
        const Type& type = *catalog_.type(catalog_.strip(at_.type));
        if (type.kind != TypeKind::array) {
            return Error::with_text(Errc::not_found, Origin::types,
                                    fmt::format("member path '{}': {} is indexed", path_, to_string(type.kind)));
        }
        // A count of 0 is a flexible array: its length is not in the type.
        if (type.count != 0 && index >= type.count) {
            return Error::with_text(Errc::out_of_range, Origin::types,
                                    fmt::format("member path '{}': index {} of {} elements", path_, index, type.count));
        }
        const std::optional<std::uint64_t> size = catalog_.size_of(type.target);
        std::uint64_t bits = 0;
        if (!size || __builtin_mul_overflow(*size, index, &bits) ||
            __builtin_mul_overflow(bits, std::uint64_t{8}, &bits) ||
            __builtin_add_overflow(at_.bit_offset, bits, &at_.bit_offset)) {
            return Error::with_text(Errc::out_of_range, Origin::types,
                                    fmt::format("member path '{}': element {} has no place", path_, index));
        }
        at_.bit_size = 0;
        at_.type = type.target;
        at_.size = *size;
        return {};
    }

    [[nodiscard]] Error not_a_structure(const Type& type, std::string_view name) const {
        const char* advice = type.kind == TypeKind::pointer ? "; it has to be followed first" : "";
        return Error::with_text(Errc::not_found, Origin::types,
                                fmt::format("no member '{}': '{}' is a {}{}", name, catalog_.declaration(at_.type, ""),
                                            to_string(type.kind), advice));
    }

    const TypeCatalog& catalog_;
    std::string_view path_;
    std::string_view rest_;
    Field at_;
};

}  // namespace

Result<Field> TypeCatalog::field(TypeId structure, std::string_view path) const {
    if (structure >= size()) {
        return Error::with_text(Errc::out_of_range, Origin::types, fmt::format("no type {}", structure));
    }
    return PathWalk(*this, structure, path).run();
}

}  // namespace vitrine
