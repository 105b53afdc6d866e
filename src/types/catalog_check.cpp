#include "types/catalog_check.h"

#include <fmt/format.h>

#include <vector>

namespace vitrine {
namespace {

constexpr std::uint64_t kUnknownSize = ~std::uint64_t{0};
// No object is larger; keeps bit offsets far from 64-bit overflow.
constexpr std::uint64_t kMaxSize = std::uint64_t{1} << 48;

bool has_members(TypeKind kind) {
    return kind == TypeKind::structure || kind == TypeKind::union_ || kind == TypeKind::function_prototype ||
           kind == TypeKind::section;
}

bool is_aggregate(TypeKind kind) { return kind == TypeKind::structure || kind == TypeKind::union_; }

// Kinds that hold their target by value.
bool is_wrapper(TypeKind kind) {
    switch (kind) {
        case TypeKind::array:
        case TypeKind::typedef_:
        case TypeKind::volatile_:
        case TypeKind::const_:
        case TypeKind::restrict_:
        case TypeKind::type_tag: return true;
        default: return false;
    }
}

class Checker {
public:
    explicit Checker(const CatalogTables& tables) : t_(tables) {}

    Result<void> run() {
        if (t_.strings.empty() || t_.strings.front() != '\0' || t_.strings.back() != '\0') {
            return malformed("string table does not begin and end with NUL");
        }
        for (TypeId id = 0; id < t_.types.size(); ++id) VITRINE_CHECK(check_indices(id));
        sizes_.assign(t_.types.size(), kUnknownSize);
        states_.assign(t_.types.size(), State::fresh);
        for (TypeId id = 0; id < t_.types.size(); ++id) VITRINE_CHECK(resolve(id));
        return {};
    }

private:
    enum class State : std::uint8_t { fresh, open, done };
    struct Frame {
        TypeId id;
        std::uint32_t next;  // the next member to descend into
    };

    static Error malformed(std::string text) {
        return Error::with_text(Errc::malformed, Origin::types, std::move(text));
    }
    static Error malformed(TypeId id, std::string_view text) { return malformed(fmt::format("type {}: {}", id, text)); }

    Result<void> check_indices(TypeId id) const {
        const Type& type = t_.types[id];
        if (type.name >= t_.strings.size()) return malformed(id, "name outside the string table");
        if (type.target >= t_.types.size()) {
            return malformed(id, fmt::format("refers to type {}, which does not exist", type.target));
        }
        if (type.size > kMaxSize) return malformed(id, "absurd size");
        if (has_members(type.kind)) return check_members(id);
        if (type.kind != TypeKind::enumeration) return {};
        if (std::uint64_t{type.first} + type.count > t_.enumerators.size()) {
            return malformed(id, "enumerators outside their table");
        }
        for (const Enumerator& e : t_.enumerators.subspan(type.first, type.count)) {
            if (e.name >= t_.strings.size()) return malformed(id, "enumerator's name outside the string table");
        }
        return {};
    }

    Result<void> check_members(TypeId id) const {
        const Type& type = t_.types[id];
        if (std::uint64_t{type.first} + type.count > t_.members.size())
            return malformed(id, "members outside their table");
        for (const Member& m : t_.members.subspan(type.first, type.count)) {
            if (m.name >= t_.strings.size()) return malformed(id, "member's name outside the string table");
            if (m.type >= t_.types.size()) {
                return malformed(id, fmt::format("member of type {}, which does not exist", m.type));
            }
        }
        return {};
    }

    // Depth-first over "contains by value", sizes bottom-up.
    Result<void> resolve(TypeId root) {
        if (enter_leaf(root)) return {};
        VITRINE_CHECK(enter(root));
        while (!stack_.empty()) {
            Frame& frame = stack_.back();
            const Type& type = t_.types[frame.id];
            const std::uint32_t children = is_aggregate(type.kind) ? type.count : 1;
            bool descended = false;
            while (frame.next < children) {
                const TypeId child = is_aggregate(type.kind) ? t_.members[type.first + frame.next].type : type.target;
                ++frame.next;
                if (enter_leaf(child)) continue;
                VITRINE_CHECK(enter(child));  // may move the stack: frame is stale from here on
                descended = true;
                break;
            }
            if (descended) continue;
            const TypeId id = stack_.back().id;
            VITRINE_CHECK(leave(id));
            stack_.pop_back();
        }
        return {};
    }

    // True when the type is done: it was before, or contains nothing.
    bool enter_leaf(TypeId id) {
        if (states_[id] != State::fresh) return states_[id] == State::done;
        const Type& type = t_.types[id];
        if (is_aggregate(type.kind) || is_wrapper(type.kind)) return false;
        sizes_[id] = leaf_size(type);
        states_[id] = State::done;
        return true;
    }

    Result<void> enter(TypeId id) {
        if (states_[id] == State::open) return malformed(id, "contains itself");
        states_[id] = State::open;
        stack_.push_back({id, 0});
        return {};
    }

    [[nodiscard]] std::uint64_t leaf_size(const Type& type) const {
        switch (type.kind) {
            case TypeKind::pointer: return t_.pointer_size;
            case TypeKind::integer:
            case TypeKind::enumeration:
            case TypeKind::floating: return type.size;
            default: return kUnknownSize;
        }
    }

    Result<void> leave(TypeId id) {
        const Type& type = t_.types[id];
        if (is_aggregate(type.kind)) {
            VITRINE_CHECK(check_layout(id));
            sizes_[id] = type.size;
        } else if (type.kind == TypeKind::array) {
            const std::uint64_t element = sizes_[type.target];
            if (element != kUnknownSize) {
                std::uint64_t size = 0;
                if (__builtin_mul_overflow(element, std::uint64_t{type.count}, &size) || size > kMaxSize) {
                    return malformed(id, "absurd array size");
                }
                sizes_[id] = size;
            }
        } else {
            sizes_[id] = sizes_[type.target];
        }
        states_[id] = State::done;
        return {};
    }

    Result<void> check_layout(TypeId id) const {
        const Type& type = t_.types[id];
        const std::uint64_t limit = type.size * 8;
        std::uint32_t index = 0;
        for (const Member& m : t_.members.subspan(type.first, type.count)) {
            const std::uint64_t size = sizes_[m.type];
            std::uint64_t bits = m.bit_size;
            if (bits == 0 && size != kUnknownSize) bits = size * 8;
            if (m.bit_size != 0 && size != kUnknownSize && m.bit_size > size * 8) {
                return malformed(id, fmt::format("bit-field {} is wider than its type", index));
            }
            if (m.bit_offset > limit || limit - m.bit_offset < bits) {
                return malformed(id, fmt::format("member {} lies outside", index));
            }
            ++index;
        }
        return {};
    }

    const CatalogTables& t_;
    std::vector<std::uint64_t> sizes_;
    std::vector<State> states_;
    std::vector<Frame> stack_;
};

}  // namespace

Result<void> check_catalog(const CatalogTables& tables) { return Checker(tables).run(); }

}  // namespace vitrine
