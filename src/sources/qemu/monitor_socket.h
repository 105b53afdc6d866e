// The monitor sockets of a QEMU process as /proc shows them. Connects to nothing.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "sources/host/process.h"
#include "sources/qemu/command_line.h"

namespace vitrine {

// The path under which a QMP socket of this QEMU can be reached from here; empty: it cannot. A path on the command line
// is QEMU's: relative to its working folder, in its mount namespace.
std::string reachable_socket(const HostProcess& process, const QmpSocket& socket);

// The paths under which its QMP sockets can be reached from here: those of its command line; where that names none, those it
// listens on though its command line does not say what for (a configuration file does).
std::vector<std::string> find_qmp_sockets(const HostProcess& process, const QemuCommandLine& line,
                                          const std::vector<std::string>& words);

// The QEMU process that listens on the socket, found without connecting; nullopt: none that can be seen.
std::optional<pid_t> find_socket_owner(const std::string& socket_path);

// A QMP socket serves one client at a time: the one that is being served now. nullopt: none that can be seen.
struct SocketClient {
    std::uint64_t connection = 0;  // inode
    std::int32_t pid = -1;         // -1: not to be found out
    std::string program;           // its name; empty: not to be found out
    bool is_vitrine = false;       // runs this very program, whose exchanges are short
};
std::optional<SocketClient> find_socket_client(const HostProcess& process, const std::string& socket_path);

// The client that keeps the socket, so that connecting would be waiting in vain and leave a dead connection in QEMU's queue.
// Waits some milliseconds for a client that may only have a short question.
std::optional<SocketClient> find_lasting_client(const HostProcess& process, const std::string& socket_path);

// "process 812 (libvirtd)"
std::string to_string(const SocketClient& client);

}  // namespace vitrine
