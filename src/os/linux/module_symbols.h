// The symbols of loaded modules, from the copy of their symbol tables that the kernel keeps (struct mod_kallsyms).
#pragma once

#include "vitrine/guest/linux_guest.h"
#include "vitrine/symbols/symbol_table.h"

namespace vitrine::linux_os {

// Appends those of every module, in the order of the module list. A module whose tables cannot be read adds none. Returns how many modules
// could not be read.
std::size_t add_module_symbols(const LinuxGuest& guest, SymbolTableBuilder& builder);

}  // namespace vitrine::linux_os
