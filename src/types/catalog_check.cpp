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
    explicit Checker(const CatalogTables& tables)
        : t_(tables), first_(tables.base == nullptr ? 0 : static_cast<TypeId>(tables.base->size())) {}

    Result<void> run() {
        VITRINE_CHECK(check_strings());
        for (TypeId id = first_; id < types_end(); ++id) VITRINE_CHECK(check_indices(id));
        sizes_.assign(t_.types.size(), kUnknownSize);
        states_.assign(t_.types.size(), State::fresh);
        for (TypeId id = first_; id < types_end(); ++id) VITRINE_CHECK(resolve(id));
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

    [[nodiscard]] std::uint64_t types_end() const { return std::uint64_t{first_} + t_.types.size(); }
    [[nodiscard]] std::uint64_t strings_end() const { return std::uint64_t{t_.first_string} + t_.strings.size(); }
    // Of its own types only.
    [[nodiscard]] const Type& type_at(TypeId id) const { return t_.types[id - first_]; }
    [[nodiscard]] std::uint64_t& size_at(TypeId id) { return sizes_[id - first_]; }
    [[nodiscard]] State& state_at(TypeId id) { return states_[id - first_]; }
    [[nodiscard]] std::span<const Member> members_of(const Type& type) const {
        return type.count == 0 ? std::span<const Member>()
                               : t_.members.subspan(type.first - t_.first_member, type.count);
    }
    [[nodiscard]] std::uint64_t known_size(TypeId id) const {
        return id < first_ ? t_.base->size_of(id).value_or(kUnknownSize) : sizes_[id - first_];
    }

    Result<void> check_strings() const {
        // The empty name is the base's, and the base's last one ends before these begin.
        const bool begins = t_.base != nullptr || (!t_.strings.empty() && t_.strings.front() == '\0');
        const bool ends = t_.strings.empty() || t_.strings.back() == '\0';
        if (!begins || !ends) return malformed("string table does not begin and end with NUL");
        return {};
    }

    // [first, first + count) lies in its own table of `size`, which goes on from `begin`.
    static bool is_own(const Type& type, std::uint32_t begin, std::size_t size) {
        const std::uint64_t end = std::uint64_t{begin} + size;
        if (std::uint64_t{type.first} + type.count > end) return false;
        return type.count == 0 || type.first >= begin;
    }

    Result<void> check_indices(TypeId id) const {
        const Type& type = type_at(id);
        if (type.name >= strings_end()) return malformed(id, "name outside the string table");
        if (type.target >= types_end()) {
            return malformed(id, fmt::format("refers to type {}, which does not exist", type.target));
        }
        if (type.size > kMaxSize) return malformed(id, "absurd size");
        if (has_members(type.kind)) return check_members(id);
        if (type.kind != TypeKind::enumeration) return {};
        if (!is_own(type, t_.first_enumerator, t_.enumerators.size())) {
            return malformed(id, "enumerators outside their table");
        }
        if (type.count == 0) return {};
        for (const Enumerator& e : t_.enumerators.subspan(type.first - t_.first_enumerator, type.count)) {
            if (e.name >= strings_end()) return malformed(id, "enumerator's name outside the string table");
        }
        return {};
    }

    Result<void> check_members(TypeId id) const {
        const Type& type = type_at(id);
        if (!is_own(type, t_.first_member, t_.members.size())) return malformed(id, "members outside their table");
        for (const Member& m : members_of(type)) {
            if (m.name >= strings_end()) return malformed(id, "member's name outside the string table");
            if (m.type >= types_end()) {
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
            const Type& type = type_at(frame.id);
            const std::uint32_t children = is_aggregate(type.kind) ? type.count : 1;
            bool descended = false;
            while (frame.next < children) {
                const TypeId child = is_aggregate(type.kind) ? members_of(type)[frame.next].type : type.target;
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

    // True when the type is done: it was before, or contains nothing. A base's contains none of these.
    bool enter_leaf(TypeId id) {
        if (id < first_) return true;
        if (state_at(id) != State::fresh) return state_at(id) == State::done;
        const Type& type = type_at(id);
        if (is_aggregate(type.kind) || is_wrapper(type.kind)) return false;
        size_at(id) = leaf_size(type);
        state_at(id) = State::done;
        return true;
    }

    Result<void> enter(TypeId id) {
        if (state_at(id) == State::open) return malformed(id, "contains itself");
        state_at(id) = State::open;
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
        const Type& type = type_at(id);
        if (is_aggregate(type.kind)) {
            VITRINE_CHECK(check_layout(id));
            size_at(id) = type.size;
        } else if (type.kind == TypeKind::array) {
            const std::uint64_t element = known_size(type.target);
            if (element != kUnknownSize) {
                std::uint64_t size = 0;
                if (__builtin_mul_overflow(element, std::uint64_t{type.count}, &size) || size > kMaxSize) {
                    return malformed(id, "absurd array size");
                }
                size_at(id) = size;
            }
        } else {
            size_at(id) = known_size(type.target);
        }
        state_at(id) = State::done;
        return {};
    }

    Result<void> check_layout(TypeId id) const {
        const Type& type = type_at(id);
        const std::uint64_t limit = type.size * 8;
        std::uint32_t index = 0;
        for (const Member& m : members_of(type)) {
            const std::uint64_t size = known_size(m.type);
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
    TypeId first_;
    std::vector<std::uint64_t> sizes_;  // of its own types, as the states
    std::vector<State> states_;
    std::vector<Frame> stack_;
};

}  // namespace

Result<void> check_catalog(const CatalogTables& tables) { return Checker(tables).run(); }

}  // namespace vitrine
