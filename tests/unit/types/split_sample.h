// A module's types over those of sample_btf(), and both as one blob.
#pragma once

#include "sample_btf.h"
#include "vitrine/types/catalog.h"

namespace vitrine::test {

// Both in one blob: the split's ids and offsets go on from the base's, so that the sections need only be put after each other.
std::vector<std::byte> joined(const BtfWriter& base, const BtfWriter& split);

// What a module has: types of its own out of the kernel's and of each other, and a name that the kernel has too.
BtfWriter module_over(const BtfWriter& base, const TypeCatalog& kernel);

}  // namespace vitrine::test
