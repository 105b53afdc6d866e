// The checks that make a catalog safe to use: every index in its table, no type contains itself by value, members inside
// their structure. Runs in time linear in these tables, on an explicit stack.
#pragma once

#include <span>

#include "vitrine/types/catalog.h"

namespace vitrine {

// Without a base's, which was checked when it was built: numbers below `first_*` are the base's.
struct CatalogTables {
    std::span<const Type> types;
    std::span<const Member> members;
    std::span<const Enumerator> enumerators;
    std::span<const char> strings;
    std::uint32_t pointer_size = 8;
    const TypeCatalog* base = nullptr;  // the first type is the base's size()
    std::uint32_t first_member = 0;
    std::uint32_t first_enumerator = 0;
    std::uint32_t first_string = 0;
};

Result<void> check_catalog(const CatalogTables& tables);

}  // namespace vitrine
