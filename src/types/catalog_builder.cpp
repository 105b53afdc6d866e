#include "vitrine/types/catalog_builder.h"

#include <sys/mman.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "types/catalog_check.h"
#include "types/name_hash.h"

namespace vitrine {
namespace {

// What find() answers with.
bool is_indexed(TypeKind kind) {
    switch (kind) {
        case TypeKind::integer:
        case TypeKind::structure:
        case TypeKind::union_:
        case TypeKind::enumeration:
        case TypeKind::typedef_:
        case TypeKind::floating: return true;
        default: return false;
    }
}

// Tables that are going to be filled to the end are faulted in at once: one page fault per 4 KiB takes as long as the
// parsing. Advice only; older kernels (before 5.14) ignore it with an error.
template <class T>
void reserve_populated(std::vector<T>& table, std::size_t count) {
    table.reserve(count);
#ifdef MADV_POPULATE_WRITE
    constexpr std::uintptr_t kPage = 4096;
    const auto begin = (reinterpret_cast<std::uintptr_t>(table.data()) + kPage - 1) & ~(kPage - 1);
    const auto end = reinterpret_cast<std::uintptr_t>(table.data() + table.capacity()) & ~(kPage - 1);
    if (end > begin) (void)::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_WRITE);
#endif
}

using NameIndex = std::vector<std::pair<std::uint64_t, TypeId>>;

// Sorted by hash, then id: one distribution pass on the leading bits, then short sorts.
NameIndex index_names(const TypeCatalog& catalog, std::span<const Type> types) {
    NameIndex found;
    for (TypeId id = 1; id < types.size(); ++id) {
        const Type& type = types[id];
        if (is_indexed(type.kind) && type.name != 0) found.emplace_back(name_hash(catalog.name(type.name)), id);
    }
    constexpr unsigned kShift = 64 - 14;
    std::vector<std::uint32_t> ends((1u << 14) + 1);
    for (const auto& entry : found) ++ends[(entry.first >> kShift) + 1];
    std::partial_sum(ends.begin(), ends.end(), ends.begin());
    std::vector<std::uint32_t> next(ends.begin(), ends.end() - 1);
    NameIndex index(found.size());
    for (const auto& entry : found) index[next[entry.first >> kShift]++] = entry;
    for (std::size_t bucket = 0; bucket + 1 < ends.size(); ++bucket) {
        std::sort(index.begin() + ends[bucket], index.begin() + ends[bucket + 1]);
    }
    return index;
}

}  // namespace

CatalogBuilder::CatalogBuilder() : catalog_(std::make_shared<TypeCatalog>()) {
    catalog_->strings_.push_back('\0');
    catalog_->types_.emplace_back();
}

std::uint32_t CatalogBuilder::add_string(std::string_view text) {
    if (text.empty()) return 0;
    auto& arena = catalog_->strings_;
    if (arena.size() + text.size() + 1 > std::numeric_limits<std::uint32_t>::max()) {
        overflow_ = true;
        return 0;
    }
    const auto at = static_cast<std::uint32_t>(arena.size());
    arena.insert(arena.end(), text.begin(), text.end());
    arena.push_back('\0');
    return at;
}

TypeId CatalogBuilder::add(const Type& type) {
    auto& types = catalog_->types_;
    overflow_ = overflow_ || types.size() >= std::numeric_limits<TypeId>::max();
    types.push_back(type);
    return static_cast<TypeId>(types.size() - 1);
}

std::uint32_t CatalogBuilder::add_member(const Member& member) {
    auto& members = catalog_->members_;
    overflow_ = overflow_ || members.size() >= std::numeric_limits<std::uint32_t>::max();
    members.push_back(member);
    return static_cast<std::uint32_t>(members.size() - 1);
}

std::uint32_t CatalogBuilder::add_enumerator(const Enumerator& enumerator) {
    auto& enumerators = catalog_->enumerators_;
    overflow_ = overflow_ || enumerators.size() >= std::numeric_limits<std::uint32_t>::max();
    enumerators.push_back(enumerator);
    return static_cast<std::uint32_t>(enumerators.size() - 1);
}

std::span<Member> CatalogBuilder::append_members(std::size_t count, std::uint32_t& first) {
    auto& members = catalog_->members_;
    overflow_ = overflow_ || members.size() + count > std::numeric_limits<std::uint32_t>::max();
    first = static_cast<std::uint32_t>(members.size());
    members.resize(members.size() + count);
    return std::span(members).subspan(first);
}

void CatalogBuilder::adopt_strings(std::vector<char> arena) {
    overflow_ = overflow_ || arena.size() > std::numeric_limits<std::uint32_t>::max();
    catalog_->strings_ = std::move(arena);
}

void CatalogBuilder::reserve(std::size_t types, std::size_t members, std::size_t enumerators) {
    reserve_populated(catalog_->types_, types);
    reserve_populated(catalog_->members_, members);
    reserve_populated(catalog_->enumerators_, enumerators);
}

void CatalogBuilder::end_of_base() { catalog_->base_end_ = static_cast<TypeId>(catalog_->types_.size()); }

std::size_t CatalogBuilder::size() const { return catalog_->types_.size(); }

Result<std::shared_ptr<const TypeCatalog>> CatalogBuilder::build(std::string origin, std::uint32_t pointer_size) {
    const auto catalog = std::exchange(catalog_, std::make_shared<TypeCatalog>());
    const bool overflow = std::exchange(overflow_, false);
    catalog_->strings_.push_back('\0');
    catalog_->types_.emplace_back();
    if (overflow) return Error::with_text(Errc::limit, Origin::types, "too many types for one catalog");
    if (pointer_size != 4 && pointer_size != 8) {
        return Error::with_text(Errc::usage, Origin::types, "pointers have 4 or 8 bytes");
    }
    VITRINE_CHECK(
        check_catalog({catalog->types_, catalog->members_, catalog->enumerators_, catalog->strings_, pointer_size}));
    catalog->pointer_size_ = pointer_size;
    catalog->origin_ = std::move(origin);
    catalog->by_name_ = index_names(*catalog, catalog->types_);
    return std::shared_ptr<const TypeCatalog>(catalog);
}

}  // namespace vitrine
