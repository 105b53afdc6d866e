// The vCPUs of a process that uses KVM, and the threads that may be running them, by looking at /proc only.
#pragma once

#include <sys/types.h>

#include <vector>

#include "sources/guardian/protocol.h"
#include "vitrine/base/result.h"

namespace vitrine::guardian {

// The open vCPU files ("anon_inode:kvm-vcpu:N"), by id. Errors: not_found (no vCPU of KVM), permission, stale.
Result<std::vector<VcpuFile>> find_vcpu_files(pid_t pid);

// Every thread that runs the monitor's own program. Left out are the kernel's workers inside the process (vhost, io_uring,
// kvm-nx-lpage-recovery): they have a copied user frame, often one of KVM_RUN, and never return to it.
Result<std::vector<pid_t>> list_threads(pid_t pid);

// May this thread be inside ioctl(KVM_RUN) now? True when it cannot be told.
bool may_be_in_kvm_run(pid_t pid, pid_t tid);

}  // namespace vitrine::guardian
