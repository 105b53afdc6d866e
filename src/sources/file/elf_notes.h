// Registers in the notes of an ELF core.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "vitrine/machine/registers.h"

namespace vitrine {

// Appends one state for each well-formed note named "QEMU" of version 1, in the order of the file, which is that of the
// vCPUs. Stops quietly at the first note that does not fit. is_x86_64: e_machine says that the guest was in long mode.
void parse_elf_notes(std::span<const std::byte> notes, bool is_x86_64, std::vector<VcpuState>& vcpus);

}  // namespace vitrine
