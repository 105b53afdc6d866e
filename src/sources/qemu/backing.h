// Makes the store for the blocks of a guest's RAM: shared files are mapped, everything else is read from the monitor.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sources/host/maps.h"
#include "sources/host/process.h"
#include "sources/qemu/memory_plan.h"
#include "vitrine/base/result.h"
#include "vitrine/memory/ram_store.h"

namespace vitrine {

struct Backing {
    std::shared_ptr<RamStore> store;
    std::string description;         // "anonymous", "memfd, shared", "file /dev/shm/x, private"; several joined by "; "
    std::vector<HostMapping> parts;  // the mappings that the blocks lie in, cut to the blocks
    std::vector<std::string> notes;
};

// Errors: permission, inconsistent (a block is not mapped as a whole), and what MappedStore::make gives.
Result<Backing> make_backing(const std::shared_ptr<const HostProcess>& process, const std::vector<RamBlock>& blocks,
                             const std::vector<HostMapping>& maps);

// Do these mappings still lie where they lay, over the same file? They may have been split or joined since.
bool are_still_mapped(const std::vector<HostMapping>& parts, const std::vector<HostMapping>& maps);

// For listings: the description of a mapping alone.
std::string describe_mapping(const HostMapping& mapping);

}  // namespace vitrine
