// One socket, read from the kernel's structures: struct sock (and what it is a part of, by family), or the small ones that stand for a TCP
// connection before and after it has one.
//
//   const auto reader = SocketReader::open(guest, budget);
//   if (const auto record = (*reader)->read(sk)) ...
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "os/linux/object_copy.h"
#include "os/linux/socket_needs.h"
#include "vitrine/guest/linux_guest.h"

namespace vitrine::linux_os {

// include/linux/socket.h, include/uapi/linux/in.h, include/net/tcp_states.h
inline constexpr std::uint64_t kAfUnix = 1, kAfInet = 2, kAfInet6 = 10, kAfNetlink = 16, kAfPacket = 17, kAfVsock = 40;
inline constexpr std::uint64_t kSockStream = 1, kSockDgram = 2, kSockRaw = 3;
inline constexpr std::uint64_t kProtocolTcp = 6, kProtocolUdp = 17, kProtocolUdpLite = 136, kProtocolMptcp = 262;
inline constexpr std::uint64_t kTcpEstablished = 1, kTcpTimeWait = 6, kTcpListen = 10, kTcpNewSynRecv = 12;

// What stands for the socket.
enum class SocketKind : std::uint8_t {
    full,       // struct sock
    time_wait,  // struct inet_timewait_sock: the connection is closed, its ports are kept for a while
    request,    // struct request_sock: the peer's SYN was answered, no more
};
[[nodiscard]] std::string_view to_string(SocketKind);

struct SocketRecord {
    SocketKind kind = SocketKind::full;
    Gva sock;    // null: a struct socket without one
    Gva socket;  // struct socket; null: there is none
    std::optional<std::uint64_t> inode;
    std::optional<std::uint64_t> family, type, protocol;
    std::optional<std::uint64_t> sk_state;  // as it is; of a TIME_WAIT its substate
    std::optional<std::string> state;       // by name: TCP, unix, vsock
    std::optional<std::string> local_address, remote_address, path;
    std::optional<std::uint64_t> local_port, remote_port;
    Gva net;
    std::optional<std::uint64_t> net_namespace;
    std::optional<std::uint64_t> uid;
    std::optional<std::uint64_t> rx_queue, tx_queue;
    std::optional<std::uint64_t> backlog, max_backlog;
    std::optional<std::uint64_t> bound_device;
    std::optional<bool> ipv6_only;
    std::optional<bool> orphan;  // SOCK_DEAD: closed by its process, the kernel still works with it
    std::optional<std::string> timer;
    std::optional<std::uint64_t> retransmits;
    std::optional<std::uint64_t> peer_inode;
    std::optional<std::uint64_t> portid, groups;
    std::optional<std::uint64_t> ifindex, packet_protocol;
    Gva filter;  // struct sk_filter; null: none
};

class SocketReader {
public:
    // Fails when what all sockets have in common is not known. The guest outlives the reader.
    static Result<std::unique_ptr<SocketReader>> open(LinuxGuest& guest, WalkBudget budget);

    // Of a struct sock, or of what stands for one. `from_tcp_table`: found where the small ones may be. nullopt: cannot be read.
    std::optional<SocketRecord> read(Gva sock, bool from_tcp_table);
    // Of a struct socket.
    std::optional<SocketRecord> read_socket(Gva socket);
    // The struct socket of a file, if it is one's.
    [[nodiscard]] std::optional<Gva> socket_of_file(Gva file) const;
    // The inode number of a struct socket.
    [[nodiscard]] std::optional<std::uint64_t> inode_of(Gva socket) const;
    // The inode number of a network namespace (struct net).
    std::optional<std::uint64_t> namespace_number(Gva net);

    [[nodiscard]] LinuxGuest& guest() const { return guest_; }
    // A family's members: of the kernel's types, or of a module's; null when they are missing, and problems() says so.
    const Members* family(const NeedGroup& group);
    // The only symbol of that name: the kernel's, or else a module's.
    [[nodiscard]] std::optional<Gva> symbol(std::string_view name) const;
    // Kinds of sockets that cannot be read whole and why, one line each.
    [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }
    void add_problem(std::string text) { problems_.push_back(std::move(text)); }
    [[nodiscard]] const Members& common() const { return *common_; }

private:
    SocketReader(LinuxGuest& guest, const Members& common, const SymbolTable& symbols);

    void fill_common(const ObjectCopy& copy, SocketRecord& record);
    void fill_sock(const ObjectCopy& copy, SocketRecord& record);
    void fill_inet(const ObjectCopy& copy, SocketRecord& record);
    void fill_tcp(const ObjectCopy& copy, SocketRecord& record);
    void fill_small(const ObjectCopy& copy, SocketRecord& record);
    void fill_queues(const ObjectCopy& copy, SocketRecord& record);
    void fill_unix(const ObjectCopy& copy, SocketRecord& record);
    void fill_netlink(const ObjectCopy& copy, SocketRecord& record);
    void fill_packet(const ObjectCopy& copy, SocketRecord& record);
    void fill_vsock(const ObjectCopy& copy, SocketRecord& record);
    void fill_inode(SocketRecord& record) const;
    // Bytes of the largest structure a sock of that family begins.
    std::size_t largest(std::uint64_t family);

    LinuxGuest& guest_;
    const AddressSpace& space_;
    const Members* common_;
    const SymbolTable* symbols_;
    const Members* file_members_ = nullptr;
    std::optional<Gva> socket_file_ops_;
    std::unordered_map<const NeedGroup*, std::unique_ptr<Members>> of_modules_;
    std::unordered_map<const NeedGroup*, const Members*> families_;
    std::unordered_map<Gva, std::optional<std::uint64_t>> namespaces_;
    std::vector<std::string> problems_;
    WalkBudget modules_;  // left for the walks over types of modules
};

}  // namespace vitrine::linux_os
