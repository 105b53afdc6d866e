// Registers and pausing of a running monitor, by whatever route this monitor offers.
//
//   MonitorFacts facts{pid, is_kvm, qmp_socket, options};
//   auto guardian = make_guardian(facts);              // share one, so that registers can be read while paused
//   auto registers = make_registers(facts, guardian);  // null: no route is possible
//   auto pausing = make_pause_control(facts, guardian);
//
// Making these connects to nothing and starts no process; that happens at the first call.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "sources/guardian/guardian.h"
#include "vitrine/machine/machine.h"
#include "vitrine/machine/registers.h"

namespace vitrine {

struct MonitorFacts {
    pid_t pid = -1;          // of the monitor, in our pid namespace
    bool is_kvm = false;     // has vCPU file descriptors of KVM
    std::string qmp_socket;  // a path that can be reached from here, or empty
    OpenOptions options;
    bool is_qemu = true;            // its seccomp filter, if any, lets ioctl pass even where that cannot be checked
    std::int32_t socket_peer = -1;  // the process that must be the one that listens on the socket; -1: any
};

std::shared_ptr<Guardian> make_guardian(const MonitorFacts& facts);

// Tries its routes in order at each call: QMP; KVM ioctls in the monitor. MSRs: ioctls under KVM, the device state under
// TCG; left empty where neither is possible. Null when no route is possible (no socket, and no KVM or no injection).
std::unique_ptr<VcpuRegisters> make_registers(const MonitorFacts& facts, std::shared_ptr<Guardian> guardian = nullptr);

// QMP stop and cont where there is a socket, else all threads of the monitor are stopped (the guest's clocks run on).
// Pauses nest: the guest goes on when resume() was called as often as pause().
std::unique_ptr<PauseControl> make_pause_control(const MonitorFacts& facts,
                                                 std::shared_ptr<Guardian> guardian = nullptr);

}  // namespace vitrine
