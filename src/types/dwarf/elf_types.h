// The child's work: open an ELF file, read its debug information.
#pragma once

#include "types/dwarf/wire.h"

namespace vitrine::dwarf {

// path is for messages; fd is read. Uses libdw, which is not made for hostile files: call it in a confined process.
Result<Imported> read_elf_types(int fd, const std::string& path);

}  // namespace vitrine::dwarf
