// The checks that make a catalog safe to use: every index in its table, no type contains itself by value, members inside
// their structure. Runs in time linear in the catalog, on an explicit stack.
#pragma once

#include <span>

#include "vitrine/types/catalog.h"

namespace vitrine {

struct CatalogTables {
    std::span<const Type> types;
    std::span<const Member> members;
    std::span<const Enumerator> enumerators;
    std::span<const char> strings;
    std::uint32_t pointer_size = 8;
};

Result<void> check_catalog(const CatalogTables& tables);

}  // namespace vitrine
