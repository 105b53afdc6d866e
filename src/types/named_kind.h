// Kinds of types that have a name to find them by.
#pragma once

#include "vitrine/types/catalog.h"

namespace vitrine {

// Those that TypeCatalog::find() answers with, and that the table of types lists.
[[nodiscard]] inline bool is_named_kind(TypeKind kind) {
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

}  // namespace vitrine
