// Unix sockets that somebody listens on: /proc/net/unix of a process's network namespace.
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
    std::string path;  // as it was bound: may be relative; "@name": abstract
    bool listening = false;
};

// Lines that are not understood are left out.
std::vector<UnixSocket> parse_unix_sockets(std::string_view text);
Result<std::vector<UnixSocket>> read_unix_sockets(const HostProcess& process);

// The inode in "socket:[1234]".
std::optional<std::uint64_t> socket_inode(std::string_view link_target);

}  // namespace vitrine
