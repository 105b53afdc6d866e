// Unix sockets, listening and connected ones: /proc/net/unix of a process's network namespace.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sources/host/process.h"
#include "vitrine/base/result.h"

namespace vitrine {

struct UnixSocket {
    std::uint64_t inode = 0;
    std::string path;  // as it was bound: may be relative; "@name": abstract. A connection has its listener's
    bool listening = false;
    bool connected = false;  // and accepted: one that still waits for that has no inode
    friend bool operator==(const UnixSocket&, const UnixSocket&) = default;
};

// Lines that are not understood are left out.
std::vector<UnixSocket> parse_unix_sockets(std::string_view text);
Result<std::vector<UnixSocket>> read_unix_sockets(const HostProcess& process);

// Those that the process has open. Empty when there is no permission to look.
struct OwnSocket {
    UnixSocket socket;
    int number = -1;  // of its descriptor, in the process
};
std::vector<OwnSocket> own_unix_sockets(const HostProcess& process);

// The inode in "socket:[1234]".
std::optional<std::uint64_t> socket_inode(std::string_view link_target);

}  // namespace vitrine
