#include "vitrine/types/catalog_builder.h"

#include <sys/mman.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "types/catalog_check.h"
#include "types/name_hash.h"
#include "types/named_kind.h"

namespace vitrine {
namespace {

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

// Ids, indices and offsets are 32 bits wide.
constexpr std::size_t kMost = std::numeric_limits<std::uint32_t>::max();

using NameIndex = std::vector<std::pair<std::uint64_t, TypeId>>;

// Sorted by hash, then id: one distribution pass on the leading bits, then short sorts.
NameIndex index_names(const TypeCatalog& catalog) {
    NameIndex found;
    for (TypeId id = catalog.first_own(); id < catalog.size(); ++id) {
        const Type& type = *catalog.type(id);
        if (is_named_kind(type.kind) && type.name != 0) found.emplace_back(name_hash(catalog.name(type.name)), id);
    }
    constexpr std::size_t kFew = 4096;  // a module's: less than the pass would cost
    if (found.size() < kFew) {
        std::sort(found.begin(), found.end());
        return found;
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

CatalogBuilder::CatalogBuilder(std::shared_ptr<const TypeCatalog> base) : catalog_(std::make_shared<TypeCatalog>()) {
    // None of its tables is as long as 2^32: build() saw to that.
    catalog_->base_end_ = static_cast<TypeId>(base->types_.size());
    catalog_->bases_ = {static_cast<std::uint32_t>(base->members_.size()),
                        static_cast<std::uint32_t>(base->enumerators_.size()),
                        static_cast<std::uint32_t>(base->strings_.size())};
    catalog_->base_ = std::move(base);
}

std::uint32_t CatalogBuilder::add_string(std::string_view text) {
    if (text.empty()) return 0;
    auto& arena = catalog_->strings_;
    const std::size_t end = catalog_->bases_.strings + arena.size();
    if (end + text.size() + 1 > kMost) {
        overflow_ = true;
        return 0;
    }
    const auto at = static_cast<std::uint32_t>(end);
    arena.insert(arena.end(), text.begin(), text.end());
    arena.push_back('\0');
    return at;
}

TypeId CatalogBuilder::add(const Type& type) {
    const std::size_t id = catalog_->size();
    overflow_ = overflow_ || id >= kMost;
    catalog_->types_.push_back(type);
    return static_cast<TypeId>(id);
}

std::uint32_t CatalogBuilder::add_member(const Member& member) {
    const std::size_t index = catalog_->bases_.members + catalog_->members_.size();
    overflow_ = overflow_ || index >= kMost;
    catalog_->members_.push_back(member);
    return static_cast<std::uint32_t>(index);
}

std::uint32_t CatalogBuilder::add_enumerator(const Enumerator& enumerator) {
    const std::size_t index = catalog_->bases_.enumerators + catalog_->enumerators_.size();
    overflow_ = overflow_ || index >= kMost;
    catalog_->enumerators_.push_back(enumerator);
    return static_cast<std::uint32_t>(index);
}

std::span<Member> CatalogBuilder::append_members(std::size_t count, std::uint32_t& first) {
    auto& members = catalog_->members_;
    const std::size_t index = catalog_->bases_.members + members.size();
    overflow_ = overflow_ || index + count > kMost;
    first = static_cast<std::uint32_t>(index);
    members.resize(members.size() + count);
    return std::span(members).last(count);
}

void CatalogBuilder::adopt_strings(std::vector<char> arena) {
    overflow_ = overflow_ || catalog_->bases_.strings + arena.size() > kMost;
    catalog_->strings_ = std::move(arena);
}

void CatalogBuilder::reserve(std::size_t types, std::size_t members, std::size_t enumerators) {
    reserve_populated(catalog_->types_, types);
    reserve_populated(catalog_->members_, members);
    reserve_populated(catalog_->enumerators_, enumerators);
}

std::size_t CatalogBuilder::size() const { return catalog_->size(); }

Result<std::shared_ptr<const TypeCatalog>> CatalogBuilder::build(std::string origin, std::uint32_t pointer_size) {
    const auto catalog = std::exchange(catalog_, std::make_shared<TypeCatalog>());
    const bool overflow = std::exchange(overflow_, false);
    catalog_->strings_.push_back('\0');
    catalog_->types_.emplace_back();
    if (overflow) return Error::with_text(Errc::limit, Origin::types, "too many types for one catalog");
    if (pointer_size != 4 && pointer_size != 8) {
        return Error::with_text(Errc::usage, Origin::types, "pointers have 4 or 8 bytes");
    }
    const TypeCatalog* base = catalog->base_.get();
    if (base != nullptr && (base->base_ || base->pointer_size_ != pointer_size)) {
        return Error::with_text(Errc::usage, Origin::types, "a catalog is no base for this one");
    }
    VITRINE_CHECK(
        check_catalog({catalog->types_, catalog->members_, catalog->enumerators_, catalog->strings_, pointer_size, base,
                       catalog->bases_.members, catalog->bases_.enumerators, catalog->bases_.strings}));
    catalog->pointer_size_ = pointer_size;
    catalog->origin_ = std::move(origin);
    catalog->by_name_ = index_names(*catalog);
    return std::shared_ptr<const TypeCatalog>(catalog);
}

}  // namespace vitrine
