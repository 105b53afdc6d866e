// A machine whose memory is in a file: a raw image, an ELF core, or a recording. Which of them it is, the content says.
#pragma once

#include <memory>
#include <string>

#include "vitrine/base/result.h"
#include "vitrine/machine/machine.h"

namespace vitrine {

// Errors have a text of one line and a hint: not_found, permission, unsupported (another format, by name), malformed (a
// damaged or truncated core), usage (a directory, an empty file, ...).
Result<std::unique_ptr<Machine>> open_file_machine(const std::string& path);

// The same of a file that is known to be a raw image. What its first bytes say is the guest's: they lie at physical address 0, and a guest
// can put any format's mark there.
Result<std::unique_ptr<Machine>> open_raw_machine(const std::string& path);

}  // namespace vitrine
