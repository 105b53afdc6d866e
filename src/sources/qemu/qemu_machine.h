// A running QEMU as a Machine.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "vitrine/base/result.h"
#include "vitrine/machine/machine.h"

namespace vitrine {

// text: a pid, or a guest's -name. Errors: not_found (with the names there are), ambiguous, permission, unsupported (not an
// x86 guest), stale (the guest has migrated away).
Result<std::unique_ptr<Machine>> open_qemu_by_text(const std::string& text, const OpenOptions& options);
// The same when the name was looked up already: stale if the process, once it is held, is not called that.
Result<std::unique_ptr<Machine>> open_qemu_named(pid_t pid, const std::string& name, const OpenOptions& options);
// socket: a QMP socket that QEMU listens on.
Result<std::unique_ptr<Machine>> open_qemu_by_socket(const std::string& socket, const OpenOptions& options);

}  // namespace vitrine
