// Finds virtual machine monitors among the processes of this host. Looks at /proc only: connects to nothing.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "sources/host/process.h"
#include "sources/qemu/command_line.h"
#include "vitrine/base/result.h"
#include "vitrine/machine/machine.h"

namespace vitrine {

struct QemuProcess {
    pid_t pid = -1;
    std::string system;  // "x86_64", "aarch64", ...; "host" when the program's name does not tell
    QemuCommandLine line;
    std::vector<std::string> words{};  // the command line as it is

    [[nodiscard]] bool is_x86() const { return system == "x86_64" || system == "i386" || system == "host"; }
};

// nullopt: not a QEMU system emulator, or gone.
std::optional<QemuProcess> identify_qemu(pid_t pid);

std::vector<pid_t> list_processes();
std::vector<QemuProcess> find_qemu_processes();

// Does the process own a KVM machine? nullopt: there is no permission to look.
std::optional<bool> uses_kvm(const HostProcess& process);

}  // namespace vitrine
