// Symbols of one kernel module, out of struct mod_kallsyms (kernel/module/kallsyms.c).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "vitrine/base/result.h"
#include "vitrine/symbols/symbol_table.h"

namespace vitrine {

// Adds a module's symbols in their order; returns how many. The spans are copies of mod_kallsyms' symtab (`count` Elf64_Sym),
// strtab (up to the end of the module's core memory; no size is kept) and typetab (one letter for each symbol; empty before
// 5.2, when elf_type()'s letter was in st_info (before 5.0) or st_size).
//
// As /proc/kallsyms: nameless symbols are left out, names are cut at KSYM_NAME_LEN. Not as there: undefined symbols, which only
// livepatch modules keep, are left out, because they have no address; and letters are as in typetab, so lower-case: the
// upper case of exported symbols comes from the module's ksymtab, which is not part of these tables.
//
// Errors: out_of_range when symtab is shorter than count, limit for an absurd count or a full table. A symbol whose name is not
// inside strtab is left out.
Result<std::size_t> add_module_symbols(SymbolTableBuilder& builder, std::string_view module,
                                       std::span<const std::byte> symtab, std::span<const std::byte> strtab,
                                       std::span<const std::byte> typetab, std::uint32_t count);

}  // namespace vitrine
