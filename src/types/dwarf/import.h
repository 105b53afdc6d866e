#pragma once

#include <chrono>
#include <cstdint>

#include "vitrine/types/catalog.h"

namespace vitrine::dwarf {

// What the reading child may use. A distribution's vmlinux with full debug information takes well below half of each.
struct Limits {
    std::uint64_t memory = std::uint64_t{1536} << 20;  // bytes of data beyond what the parent has
    std::chrono::seconds processor_time{240};
    std::chrono::seconds time{300};
};

Result<DwarfImport> import(const std::string& path, const Limits& limits);

}  // namespace vitrine::dwarf
