// The kernel's build-id, from its ELF notes in memory (.notes between __start_notes and __stop_notes).
#pragma once

#include <string>

#include "os/linux/find/prove.h"

namespace vitrine::linux_os {

// Lower-case hex; "" when the symbols or the note are missing.
[[nodiscard]] std::string read_build_id(PhysicalMemory& memory, const ProvenKernel& kernel);

// The NT_GNU_BUILD_ID descriptor in a run of ELF notes; "" when there is none. Notes are hostile bytes.
[[nodiscard]] std::string build_id_of_notes(std::span<const std::byte> notes);

}  // namespace vitrine::linux_os
