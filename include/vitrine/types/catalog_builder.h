// Builds a TypeCatalog. Used by the importers (BTF, DWARF, PDB) and by tests that describe types in text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/types/catalog.h"

namespace vitrine {

class CatalogBuilder {
public:
    CatalogBuilder();  // id 0 is void
    // Of a split catalog: ids, string offsets and indices go on from the base's, which build() shares. The base is not split itself.
    explicit CatalogBuilder(std::shared_ptr<const TypeCatalog> base);
    std::uint32_t add_string(std::string_view text);  // text without NUL
    // Ids are given in order of adding, from 1 on; targets may refer to ids not yet added.
    TypeId add(const Type& type);
    std::uint32_t add_member(const Member& member);  // returns its index, for Type::first
    std::uint32_t add_enumerator(const Enumerator& enumerator);
    // Checks everything (ids, ranges, members inside their structure where the size is known, no type contains itself by value) and
    // gives the catalog. malformed names the first offending id.
    Result<std::shared_ptr<const TypeCatalog>> build(std::string origin, std::uint32_t pointer_size = 8);

    // Room for `count` members in a row, to be filled in at once; first is the index of the first one. Valid until more are added.
    std::span<Member> append_members(std::size_t count, std::uint32_t& first);

    // For importers that already have a string arena and know the counts.
    // Before the first add_string(). [0] must be NUL, unless there is a base, and the last byte.
    void adopt_strings(std::vector<char> arena);
    void reserve(std::size_t types, std::size_t members, std::size_t enumerators);
    [[nodiscard]] std::size_t size() const;  // types so far, void and the base's included

private:
    std::shared_ptr<TypeCatalog> catalog_;
    bool overflow_ = false;  // some 32-bit index ran over; build() says so
};

}  // namespace vitrine
