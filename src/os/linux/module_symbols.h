// The symbols of loaded modules, from the copy of their symbol tables that the kernel keeps (struct mod_kallsyms).
#pragma once

#include <string>

#include "vitrine/guest/linux_guest.h"
#include "vitrine/symbols/symbol_table.h"

namespace vitrine::linux_os {

struct ModuleSymbolsReport {
    WalkEnd end = WalkEnd::complete;  // of the walk over the modules
    std::string missing;              // what is not among the symbols and why, one line; "" when all is there
};

// Appends those of every module, in the order of the module list. A module whose tables cannot be read adds none.
ModuleSymbolsReport add_module_symbols(const LinuxGuest& guest, SymbolTableBuilder& builder);

}  // namespace vitrine::linux_os
