// The guardian: a small process that owns every pause of a monitor and every injection into it, so that this process
// may be killed at any moment and the monitor and its guest are left as they were.
//
//   auto guardian = std::make_shared<Guardian>(GuardianTarget{pid, qmp_socket});
//   VITRINE_CHECK(guardian->pause_by_qmp());      // forks the guardian on first use
//   ...                                           // killed here: the guardian sees it and continues the guest
//   VITRINE_CHECK(guardian->resume());
//
// The guardian is forked (not executed) before anything is touched. It runs in its own session, keeps no file of ours
// open, allocates nothing, and takes one request at a time over a socket pair. When that socket or this process ends, it
// finishes or undoes what it has in hand, restores registers and bytes, detaches, continues a guest that it paused, and
// exits. It blocks SIGINT, SIGTERM and SIGHUP while it has something in hand. What happens when the guardian itself is
// killed with SIGKILL is written in docs/guardian.md.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "sources/guardian/protocol.h"
#include "vitrine/base/result.h"

namespace vitrine {

struct GuardianTarget {
    pid_t pid = -1;
    std::string qmp_socket;  // a path that can be reached from here, or empty
    std::chrono::milliseconds qmp_timeout{500};
    bool trusts_filter = false;  // its seccomp filter, if any, is known to let ioctl pass (QEMU's)
    pid_t socket_peer = -1;      // who must listen on the socket, in our pid namespace; -1: anyone
};

class Guardian {
public:
    explicit Guardian(GuardianTarget target);
    ~Guardian();  // resumes what is paused and ends the guardian process
    Guardian(const Guardian&) = delete;
    Guardian& operator=(const Guardian&) = delete;

    // Forks the guardian process; the operations below do so themselves. Useful before privileges are dropped.
    Result<void> start();

    // Registers of all vCPUs by KVM ioctls in the monitor's vCPU threads. `msr_indices`: at most kMaxMsrs.
    static constexpr std::size_t kMaxMsrs = guardian::kMaxMsrs;
    Result<std::vector<guardian::VcpuRecord>> read_vcpus(const std::vector<std::uint32_t>& msr_indices);

    // Pauses do not nest here: a second pause while one is held is an error (usage). A guest that was not running is left
    // alone by resume().
    Result<void> pause_by_qmp();     // keeps the connection until resume()
    Result<void> pause_by_freeze();  // stops every thread of the monitor
    Result<void> resume();
    // While the guardian holds a QMP pause it holds the monitor's only connection: ask through it.
    [[nodiscard]] bool holds_qmp() const;
    // While its threads are stopped the monitor answers nobody.
    [[nodiscard]] bool holds_freeze() const;
    // Another client was found to hold the monitor socket: from then on it is not tried again, because each try takes its
    // whole time-out and leaves a dead connection in QEMU's queue.
    [[nodiscard]] bool socket_is_held() const;
    void note_held_socket();
    // stale when the monitor has ended. One system call; starts no guardian.
    Result<void> check_alive() const;

    // Runs one QMP command line (a JSON object) and gives the reply object's text.
    Result<std::string> qmp(std::string_view command_line);
    // The migration stream of all devices but RAM (QMP xen-save-devices-state); QEMU stops the guest for it, some ms.
    Result<std::vector<std::byte>> device_state();

    // The times that threads of the monitor spent in calls of ours, over all read_vcpus() so far: the only times in which a
    // SIGKILL of the guardian process itself could harm the monitor.
    struct Windows {
        std::uint64_t count = 0;
        std::chrono::nanoseconds total{0};
        std::chrono::nanoseconds longest{0};
    };
    [[nodiscard]] Windows windows() const;
    [[nodiscard]] const GuardianTarget& target() const;
    [[nodiscard]] pid_t process_id() const;  // of the guardian process; -1 when not started

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace vitrine
