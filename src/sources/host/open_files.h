// The open files of another process, and how to get hold of one of them.
//
// Two routes: /proc/PID/fd (the same user, or root), and pidfd_getfd(2) over the descriptor numbers, which asks for
// nothing but CAP_SYS_PTRACE.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "sources/host/maps.h"
#include "sources/host/process.h"
#include "vitrine/base/result.h"

namespace vitrine {

struct OpenFile {
    int number = -1;     // in the other process
    std::string target;  // what /proc shows, e.g. "anon_inode:kvm-vm", "socket:[1234]", "/memfd:ram (deleted)"
};

// Errors: permission when neither route is open.
Result<std::vector<OpenFile>> list_open_files(const HostProcess& process);

// Opens, for reading, the file behind a shared or private file mapping: nothing but the very file (device and inode) is
// accepted. Errors: permission, not_found (the process has closed it and map_files is not open to us).
Result<UniqueFd> open_mapped_file(const HostProcess& process, const HostMapping& mapping);

}  // namespace vitrine
