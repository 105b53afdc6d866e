// Reads vCPU registers by running KVM's read ioctls in the vCPU threads of a monitor.
//
// KVM refuses these calls from any other process (the vCPU belongs to one address space), so they are made by the thread
// that owns the vCPU. It is touched only where the stop shows it inside ioctl(vcpu, KVM_RUN): there every monitor expects
// EINTR at any time and calls again, and a `syscall` instruction lies right before the instruction pointer. A thread that
// waits elsewhere (a futex, because the guest is paused) would take an interrupted call for a failure.
//
// Guardian process only: nothing here allocates.
#pragma once

#include "sources/guardian/protocol.h"
#include "sources/guardian/seccomp_filter.h"
#include "sources/guardian/tracing.h"

namespace vitrine::guardian {

// Is the thread with these registers at the end of ioctl(fd, KVM_RUN) for one of the files? Its index, or -1.
int vcpu_of(const TracedThread& thread, const user_regs_struct& registers, const VcpuFile* files, std::uint32_t count);

// Reads one vCPU through a thread that is held in KVM_RUN. The thread stays held, with its registers and bytes as before.
// `filter_room`: BPF_MAXINSNS instructions.
Status read_vcpu(TracedThread& thread, const user_regs_struct& home, const VcpuFile& vcpu, const VcpuRequest& request,
                 pid_t monitor, struct sock_filter* filter_room, Deadline deadline, VcpuRecord* record,
                 std::int32_t* sys_errno);

}  // namespace vitrine::guardian
