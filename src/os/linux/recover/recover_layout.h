// Offsets of members when the kernel carries no types: from statically initialised objects with known symbols (init_task
// points to init_cred, init_files, ...) and from invariants that hold over all tasks. What is not found beyond doubt stays absent.
#pragma once

#include <string>
#include <vector>

#include "os/linux/kernel_symbols.h"
#include "os/linux/layout.h"
#include "vitrine/memory/address_space.h"

namespace vitrine::linux_os {

struct RecoveredLayout {
    Layout layout;
    std::vector<std::string> evidence;  // one line a member: "task_cred at 0x738: holds &init_cred"
    // Whether the members of task_struct lie in the order of the kernel's source. If not (CONFIG_RANDSTRUCT), or if too few
    // were found to tell, the members that only their order tells apart are absent.
    bool usual_order = false;
};

// Reads only; every search is bounded. Never fails: an unreadable guest gives an empty layout.
[[nodiscard]] RecoveredLayout recover_layout(const AddressSpace& space, const KernelSymbols& symbols);

}  // namespace vitrine::linux_os
