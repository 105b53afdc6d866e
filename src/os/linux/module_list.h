// The kernel's list of loaded modules (kernel/module/main.c, `modules`).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vitrine/base/walk.h"
#include "vitrine/guest/linux_guest.h"

namespace vitrine::linux_os {

struct ModuleRecord {
    Gva address;       // of struct module
    std::string name;  // any bytes; "" when it cannot be read
    bool name_known = false;
    Gva base;  // of its text
    bool base_known = false;
    std::optional<std::uint64_t> size;       // bytes that stay loaded, as /proc/modules gives it
    std::optional<std::int64_t> references;  // users, as /proc/modules gives them
    std::optional<std::uint32_t> state;      // enum module_state: 0 live, 1 coming, 2 going, 3 unformed
    std::optional<std::uint64_t> taints;
};

struct ModuleSnapshot {
    std::vector<ModuleRecord> modules;
    WalkReport report;
};

// As LinuxGuest::processes(): retried while a running guest tears it. not_found when the layout does not tell how modules are linked.
// At most 65,536 are listed, whatever the budget.
Result<ModuleSnapshot> list_modules(const LinuxGuest& guest,
                                    WalkBudget budget = {1u << 16, std::chrono::milliseconds(5000)});

// Names of the modules that use this one, newest first, as /proc/modules prints them. Bounded, also by `left`, from which those read are
// taken; nullopt when they cannot be read whole.
[[nodiscard]] std::optional<std::vector<std::string>> users_of(const LinuxGuest& guest, const ModuleRecord& module,
                                                               std::size_t& left);

}  // namespace vitrine::linux_os
