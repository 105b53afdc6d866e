// A raw file does not say which guest-physical addresses its bytes have. These are the layouts it may have.
#pragma once

#include <vector>

#include "vitrine/memory/ram_store.h"

namespace vitrine {

// Likeliest first, never empty. The store holds the file from its first byte; it is only looked at where the answer
// depends on it (a padded file holds zeros in the PCI hole).
std::vector<MemoryLayout> raw_layouts(RamStore& store);

}  // namespace vitrine
