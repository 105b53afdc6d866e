// What a QEMU's command line says about its guest: memory, machine type, name, monitor sockets.
//
//   QemuCommandLine line = parse_qemu_command_line({"qemu-system-x86_64", "-m", "4G", "-name", "guest=web1"});
//
// The command line is what QEMU was started with: memory plugged in later is not in it, and a process may overwrite its
// own. So it gives candidates, never certainty.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/base/result.h"

namespace vitrine {

struct MemoryBackend {
    std::string type;  // "memory-backend-ram", "-memfd", "-file", ...
    std::string id;
    std::uint64_t size = 0;  // 0: not said
    std::string path;        // of memory-backend-file: a file or a folder
};

struct QmpSocket {
    std::string path;       // as given: may be relative to QEMU's working directory; "@name": abstract
    std::optional<int> fd;  // handed over by the parent (libvirt): the path is not on the command line
};

struct QemuCommandLine {
    std::string name;                          // of -name, or empty
    std::string machine;                       // "pc", "q35", "pc-q35-7.2", "microvm"; empty: not said (pc)
    std::uint64_t memory_size = 0;             // of -m; the default of 128 MiB when not said
    bool size_is_known = false;                // false: a configuration file may say another size
    std::uint64_t max_memory = 0;              // of -m maxmem=; 0: none
    std::uint64_t max_below_4g = 0;            // of -machine max-ram-below-4g=; 0: not said
    std::string memory_backend;                // of -machine memory-backend=
    std::vector<std::string> numa_backends;    // of -numa node,memdev=, by node number
    std::vector<MemoryBackend> backends;       // all -object memory-backend-*
    std::vector<std::string> device_backends;  // memdev= of -device: DIMMs and the like, not the main memory
    std::vector<std::string> ram_devices;      // those of them that are RAM to the guest: DIMMs, virtio-mem
    std::string memory_path;                   // of -mem-path
    std::string accelerator;                   // the first asked for: "kvm", "tcg"; empty: not said
    std::uint32_t vcpus = 1;
    bool vcpus_are_known = false;  // false: a configuration file may say another number
    std::vector<QmpSocket> qmp_sockets;
    bool has_config_file = false;   // -readconfig: what it says is not known here
    bool awaits_migration = false;  // -incoming
    bool by_libvirt = false;        // carries the marks of libvirt: its master key, its name for the monitor
    std::vector<int> chardev_fds;   // sockets handed over for anything: monitors, serial ports, agents

    [[nodiscard]] const MemoryBackend* find_backend(std::string_view id) const;
};

// Bounded by the size of its input. Never fails: what is not understood is left at its default.
QemuCommandLine parse_qemu_command_line(const std::vector<std::string>& words);

// The system emulated, from the name of the program: "x86_64" for /usr/bin/qemu-system-x86_64; "host" for qemu-kvm, which
// does not say; empty: no QEMU system emulator.
std::string qemu_system_of(std::string_view program);

}  // namespace vitrine
