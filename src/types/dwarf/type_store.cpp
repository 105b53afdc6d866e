#include "types/dwarf/type_store.h"

#include <optional>

namespace vitrine::dwarf {

TypeStore::TypeStore() {
    tables_.types.emplace_back();
    tables_.strings.push_back('\0');
}

TypeId TypeStore::lookup(const Key& key) const {
    const auto it = by_key_.find(key.bytes());
    return it == by_key_.end() ? 0 : it->second;
}

TypeId TypeStore::add(const Key& key, const Type& type) {
    const auto id = static_cast<TypeId>(tables_.types.size());
    tables_.types.push_back(type);
    by_key_.emplace(key.bytes(), id);
    return id;
}

TypeId TypeStore::intern(const Key& key, const Type& type) {
    const TypeId known = lookup(key);
    return known != 0 ? known : add(key, type);
}

std::uint32_t TypeStore::string(std::string_view text) {
    if (text.empty()) return 0;
    const auto [it, is_new] = by_text_.try_emplace(std::string(text),
                                                   static_cast<std::uint32_t>(tables_.strings.size()));
    if (is_new) {
        tables_.strings.insert(tables_.strings.end(), text.begin(), text.end());
        tables_.strings.push_back('\0');
    }
    return it->second;
}

void TypeStore::set_members(TypeId id, std::span<const Member> members) {
    tables_.types[id].first = static_cast<std::uint32_t>(tables_.members.size());
    tables_.types[id].count = static_cast<std::uint32_t>(members.size());
    tables_.members.insert(tables_.members.end(), members.begin(), members.end());
}

void TypeStore::set_enumerators(TypeId id, std::span<const Enumerator> enumerators) {
    tables_.types[id].first = static_cast<std::uint32_t>(tables_.enumerators.size());
    tables_.types[id].count = static_cast<std::uint32_t>(enumerators.size());
    tables_.enumerators.insert(tables_.enumerators.end(), enumerators.begin(), enumerators.end());
}

void TypeStore::resolve_forwards() {
    // An enumeration that is only declared has neither size nor enumerators.
    const auto is_open = [](const Type& t) {
        return t.kind == TypeKind::forward || (t.kind == TypeKind::enumeration && t.size == 0);
    };
    const auto sort = [](const Type& t) -> std::uint64_t {
        if (t.kind == TypeKind::enumeration) return 2;
        return t.kind == TypeKind::union_ || (t.kind == TypeKind::forward && t.forward_is_union) ? 1 : 0;
    };
    const auto name_key = [&](const Type& t) { return std::uint64_t{t.name} << 2 | sort(t); };
    std::unordered_map<std::uint64_t, std::optional<TypeId>> complete;  // nullopt: several definitions
    for (TypeId id = 1; id < tables_.types.size(); ++id) {
        const Type& t = tables_.types[id];
        const bool defines = t.kind == TypeKind::structure || t.kind == TypeKind::union_ ||
                             t.kind == TypeKind::enumeration;
        if (!defines || is_open(t) || t.name == 0) continue;
        const auto [it, is_new] = complete.try_emplace(name_key(t), id);
        if (!is_new) it->second = std::nullopt;
    }
    std::vector<TypeId> replaced(tables_.types.size());
    for (TypeId id = 0; id < replaced.size(); ++id) {
        Type& t = tables_.types[id];
        replaced[id] = id;
        if (!is_open(t)) continue;
        const auto it = complete.find(name_key(t));
        if (it == complete.end() || !it->second) continue;
        replaced[id] = *it->second;
        if (t.kind == TypeKind::enumeration) t.name = 0;  // it would count as another definition
    }
    for (Type& t : tables_.types) t.target = replaced[t.target];
    for (Member& m : tables_.members) m.type = replaced[m.type];
}

}  // namespace vitrine::dwarf
