// ELF core files of whole machines: QEMU's dump-guest-memory, `virsh dump --memory-only`, /proc/vmcore.
//
// Addresses are taken from p_paddr only: QEMU writes 0 as p_vaddr, and that is no virtual address.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sources/file/file_bytes.h"
#include "vitrine/base/result.h"
#include "vitrine/machine/registers.h"
#include "vitrine/memory/ram_store.h"

namespace vitrine {

struct ElfCore {
    bool is_64 = false;      // the file's class; not the guest's mode
    bool is_x86_64 = false;  // e_machine: the first processor was in long mode
    // Sorted, disjoint. Where segments overlap, the one that begins first holds.
    std::vector<LayoutExtent> in_file;  // offset: in the file
    std::vector<MemoryRange> zeros;     // in memory, not in the file (p_memsz above p_filesz)
    std::vector<VcpuState> vcpus;       // from notes named "QEMU"; empty if there are none
    std::vector<std::string> remarks;   // what was found odd, one line each
};

[[nodiscard]] bool has_elf_magic(std::span<const std::byte> head);

// Errors: unsupported (not a core, another architecture, a process's core), malformed (also: truncated, with how much
// is missing). All have a text.
Result<ElfCore> parse_elf_core(const FileBytes& file);

}  // namespace vitrine
