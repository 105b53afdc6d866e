// Type information (split BTF) of loaded modules, from the kernel's list `btf_modules` (kernel/bpf/btf.c). Kernels before 5.11 have none.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "vitrine/base/walk.h"
#include "vitrine/guest/linux_guest.h"

namespace vitrine::linux_os {

struct ModuleBtf {
    std::string module;           // name of the module, any bytes
    std::vector<std::byte> blob;  // as in /sys/kernel/btf/MODULE: unchecked, for parse_split_btf() over the kernel's
    Gva module_address;           // of struct module; null when it is not told
    Gva btf_address;              // of struct btf
};

struct ModuleBtfSnapshot {
    std::vector<ModuleBtf> modules;   // newest first
    std::vector<std::string> unread;  // names of modules whose blob cannot be read whole, or is impossible
    WalkReport report;
};

// Retried while a running guest tears the list. not_found when the kernel keeps no such list, or its layout is unknown.
Result<ModuleBtfSnapshot> list_module_btf(const LinuxGuest& guest,
                                          WalkBudget budget = {1u << 16, std::chrono::milliseconds(5000)});

// The kernel's own blob, [__start_BTF, __stop_BTF). not_found when it carries none.
Result<std::vector<std::byte>> kernel_btf(const LinuxGuest& guest);

}  // namespace vitrine::linux_os
