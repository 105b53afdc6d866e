// What is said between this process and its guardian: small messages over a SOCK_SEQPACKET pair, bulk bytes in an arena
// that both have mapped since before the fork. One request at a time.
//
// Everything here is plain data: the guardian process allocates nothing (see guardian_process.h for why).
#pragma once

#include <linux/kvm.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace vitrine::guardian {

inline constexpr std::size_t kArenaBytes = std::size_t{8} << 20;  // bound of every reply; pages are made when touched
inline constexpr std::uint32_t kMaxThreads = 8192;
inline constexpr std::uint32_t kMaxVcpus = 1024;
inline constexpr std::uint32_t kMaxMsrs = 16;

enum class Op : std::uint32_t {
    hello,         // is the guardian there?
    read_vcpus,    // arena: VcpuRequest -> VcpuReply
    freeze,        // arena: ThreadList; adds these threads to the frozen ones
    pause_qmp,     // stop, keeping the connection
    resume,        // undoes freeze and pause_qmp
    qmp,           // arena: a command line -> the reply object
    device_state,  // -> arena: the device stream
};

enum class Status : std::uint32_t {
    ok,
    not_in_kvm_run,  // the vCPU threads are somewhere else
    traced,          // another tracer holds the thread
    permission,
    gone,  // the monitor ended
    timeout,
    interrupted,     // signals for the monitor kept coming first
    stopped,         // the monitor is stopped by a job-control signal
    forbidden,       // the monitor's seccomp filter would not let the calls pass
    filter_unknown,  // it has one and it cannot be read
    refused,         // a call was answered with an error (sys_errno)
    malformed,       // the monitor's answer could not be understood
    too_big,
    no_connection,  // the QMP socket could not be used
    busy,           // the QMP socket gave no greeting: another client holds it
    wrong_peer,     // another process than the monitor listens on the QMP socket
    migrating,      // the guest is on its way to another monitor
    not_held,
    already_held,
};

struct Request {
    Op op = Op::hello;
    std::uint32_t sequence = 0;
    std::uint32_t length = 0;  // bytes of the arena that belong to the request
};

struct Reply {
    std::uint32_t sequence = 0;
    Status status = Status::ok;
    std::int32_t sys_errno = 0;
    std::uint32_t length = 0;  // bytes of the arena that belong to the reply
    bool flag = false;         // pause_qmp: the guest was running before
    // Times that threads spent in calls of ours, in this request.
    std::uint32_t windows = 0;
    std::uint64_t windows_total_ns = 0;
    std::uint64_t longest_window_ns = 0;
};

struct VcpuFile {
    std::int32_t fd = -1;  // in the monitor
    std::uint32_t id = 0;
};

struct VcpuRequest {
    std::uint32_t thread_count = 0;
    std::uint32_t vcpu_count = 0;
    std::uint32_t msr_count = 0;
    bool trusts_filter = false;  // a seccomp filter that cannot be read is known to let ioctl pass
    std::uint32_t msrs[kMaxMsrs] = {};
    pid_t threads[kMaxThreads] = {};
    VcpuFile vcpus[kMaxVcpus] = {};
};

struct VcpuRecord {
    std::uint32_t id = 0;
    pid_t thread = -1;
    std::uint32_t msr_count = 0;
    std::uint32_t msr_limit = 0;  // how many were asked for
    struct kvm_sregs sregs = {};
    struct kvm_regs regs = {};
    struct kvm_msr_entry msrs[kMaxMsrs] = {};
};

struct VcpuReply {
    std::uint32_t count = 0;
    Status worst = Status::ok;  // why the missing ones are missing
    std::int32_t sys_errno = 0;
    VcpuRecord records[kMaxVcpus] = {};
};

struct ThreadList {
    std::uint32_t count = 0;
    pid_t threads[kMaxThreads] = {};
};

static_assert(sizeof(VcpuRequest) < kArenaBytes && sizeof(VcpuReply) < kArenaBytes && sizeof(ThreadList) < kArenaBytes);

}  // namespace vitrine::guardian
