// SocketReader's view of the families that do not leave the machine: unix, netlink, packet, vsock.
#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <span>

#include "os/linux/member_reader.h"
#include "os/linux/socket_record.h"

namespace vitrine::linux_os {
namespace {

constexpr std::size_t kFamilyBytes = 2;    // of struct sockaddr_un, before the path
constexpr std::size_t kLongestPath = 109;  // sun_path has 108 bytes, a NUL may follow

// enum socket_state, as unix_seq_show: by whether a process holds it.
std::string unix_state(std::uint64_t sk_state, bool has_socket) {
    if (sk_state == kTcpListen) return "LISTEN";
    if (has_socket) return sk_state == kTcpEstablished ? "CONNECTED" : "UNCONNECTED";
    return sk_state == kTcpEstablished ? "CONNECTING" : "DISCONNECTING";
}

// As /proc/net/unix shows it: "@" for the NUL that begins an abstract name, and for those in it.
std::string unix_name(std::span<const char> bytes) {
    std::string name(bytes.begin(), bytes.end());
    if (bytes.empty() || bytes.front() == '\0') std::replace(name.begin(), name.end(), '\0', '@');
    else name.resize(std::min(name.find('\0'), name.size()));
    return name;
}

}  // namespace

void SocketReader::fill_unix(const ObjectCopy& copy, SocketRecord& record) {
    record.state = unix_state(*record.sk_state, !record.socket.is_null());
    if (record.state == "LISTEN") {
        record.max_backlog = copy.number(*common_, kSockMaxBacklog);
    }
    const Members* members = family(kUnixNeeds);
    if (members == nullptr) return;
    const MemberReader read(space_, *members);
    if (const auto address = copy.pointer(*members, kUnixAddr); address && !address->is_null()) {
        const auto length = read.number(*address, kUnixAddressLength);
        if (length && *length >= kFamilyBytes && *length - kFamilyBytes <= kLongestPath) {
            std::array<char, kLongestPath> path{};
            const auto bytes = std::span(path).first(*length - kFamilyBytes);
            const Gva at = read.address(*address, kUnixAddressName).wrap_plus(kFamilyBytes);
            if (space_.read(at, std::as_writable_bytes(bytes))) record.path = unix_name(bytes);
        }
    }
    if (const auto peer = copy.pointer(*members, kUnixPeer); peer && !peer->is_null()) {
        const MemberReader of_peer(space_, *common_);
        const auto socket = of_peer.target(*peer, kSockSocket);
        if (socket && of_peer.pointer(*socket, kSocketSk) == *peer) record.peer_inode = inode_of(*socket);
    }
}

void SocketReader::fill_netlink(const ObjectCopy& copy, SocketRecord& record) {
    const Members* members = family(kNetlinkNeeds);
    if (members == nullptr) return;
    record.portid = copy.number(*members, kNetlinkPortid);
    const auto groups = copy.pointer(*members, kNetlinkGroups);
    if (!groups) return;
    record.groups = std::uint64_t{0};
    if (groups->is_null()) return;
    const auto word = space_.read_value<std::uint32_t>(*groups);
    record.groups = word ? std::optional<std::uint64_t>(*word) : std::nullopt;
}

void SocketReader::fill_packet(const ObjectCopy& copy, SocketRecord& record) {
    const Members* members = family(kPacketNeeds);
    if (members == nullptr) return;
    record.ifindex = copy.number(*members, kPacketIfindex);
    if (const auto number = copy.number(*members, kPacketProtocol))
        record.packet_protocol = ntohs(static_cast<std::uint16_t>(*number));
}

void SocketReader::fill_vsock(const ObjectCopy& copy, SocketRecord& record) {
    if (*record.sk_state == kTcpListen) {
        record.state = "LISTEN";
        record.backlog = copy.number(*common_, kSockBacklog);
        record.max_backlog = copy.number(*common_, kSockMaxBacklog);
    } else {
        record.state = *record.sk_state == kTcpEstablished ? "CONNECTED" : "UNCONNECTED";
    }
    const Members* members = family(kVsockNeeds);
    if (members == nullptr) return;
    // Context ids are numbers; VMADDR_CID_ANY and VMADDR_PORT_ANY are -1.
    const auto text = [](std::optional<std::uint64_t> cid) {
        return cid ? std::optional(std::to_string(*cid)) : std::nullopt;
    };
    record.local_address = text(copy.number(*members, kVsockLocalCid));
    record.local_port = copy.number(*members, kVsockLocalPort);
    record.remote_address = text(copy.number(*members, kVsockRemoteCid));
    record.remote_port = copy.number(*members, kVsockRemotePort);
}

}  // namespace vitrine::linux_os
