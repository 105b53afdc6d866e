// The types of many compilation units, equal ones kept once. Equality is by content: a type's key spells out everything
// that tells it from others, so that two units' `struct list_head *` become one.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "types/dwarf/wire.h"

namespace vitrine::dwarf {

// The bytes of a key; integers and strings one after the other.
class Key {
public:
    explicit Key(TypeKind kind) { number(static_cast<std::uint64_t>(kind)); }
    Key& number(std::uint64_t value) {
        bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
        return *this;
    }
    Key& text(std::string_view s) {
        number(s.size());
        bytes_.append(s);
        return *this;
    }
    [[nodiscard]] const std::string& bytes() const { return bytes_; }

private:
    std::string bytes_;
};

class TypeStore {
public:
    TypeStore();

    // The id of an equal type, or 0.
    [[nodiscard]] TypeId lookup(const Key& key) const;
    TypeId add(const Key& key, const Type& type);
    // lookup, or add when there is none.
    TypeId intern(const Key& key, const Type& type);
    std::uint32_t string(std::string_view text);

    void set_members(TypeId id, std::span<const Member> members);
    void set_enumerators(TypeId id, std::span<const Enumerator> enumerators);

    // Forward declarations of what has exactly one definition are replaced by it.
    void resolve_forwards();
    [[nodiscard]] std::size_t size() const { return tables_.types.size(); }
    TypeTables take() { return std::move(tables_); }

private:
    TypeTables tables_;
    std::unordered_map<std::string, TypeId> by_key_;
    std::unordered_map<std::string, std::uint32_t> by_text_;
};

}  // namespace vitrine::dwarf
