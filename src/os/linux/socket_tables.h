// Every socket the kernel's own tables know: what no process holds (not accepted yet, orphaned, in TIME_WAIT) is found here alone.
// Tables of TCP (established, listening), UDP, raw, unix, netlink, packet and vsock; of each network namespace where they are its own.
#pragma once

#include <vector>

#include "os/linux/hash_walk.h"
#include "os/linux/socket_record.h"

namespace vitrine::linux_os {

struct TabledSocket {
    Gva sock;
    bool from_tcp_table = false;  // may be no whole sock
};

struct SocketTables {
    std::vector<TabledSocket> sockets;  // each once
    WalkReport report;
    std::vector<std::string> problems;  // tables that were not found, or not read whole; one line each
};

SocketTables walk_socket_tables(SocketReader& reader, WalkBudget budget);

}  // namespace vitrine::linux_os
