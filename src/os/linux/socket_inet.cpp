// SocketReader's view of IPv4 and IPv6: addresses, ports, and what TCP has beyond them.
#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include "os/linux/socket_record.h"

namespace vitrine::linux_os {
namespace {

// include/net/tcp_states.h; CLOSE is CLOSED to osquery. NEW_SYN_RECV is shown as SYN_RECV, as /proc/net/tcp does.
std::optional<std::string> tcp_state(std::optional<std::uint64_t> state) {
    constexpr std::array<const char*, 13> kNames = {"",          "ESTABLISHED", "SYN_SENT", "SYN_RECV",   "FIN_WAIT1",
                                                    "FIN_WAIT2", "TIME_WAIT",   "CLOSED",   "CLOSE_WAIT", "LAST_ACK",
                                                    "LISTEN",    "CLOSING",     "SYN_RECV"};
    if (!state || *state == 0 || *state >= kNames.size()) return std::nullopt;
    return kNames[*state];
}

template <std::size_t size>
std::optional<std::string> address_text(int family, std::optional<std::array<std::byte, size>> bytes) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (!bytes || inet_ntop(family, bytes->data(), text.data(), text.size()) == nullptr) return std::nullopt;
    return std::string(text.data());
}

// icsk_pending, include/net/inet_connection_sock.h; the two last are for the same timer as the first.
constexpr std::uint64_t kRetransmit = 1, kProbe = 3, kLossProbe = 5, kReordering = 6;

}  // namespace

void SocketReader::fill_inet(const ObjectCopy& copy, SocketRecord& record) {
    if (record.family == kAfInet) {
        record.local_address = address_text(AF_INET, copy.bytes<4>(*common_, kCommonRcvSaddr));
        record.remote_address = address_text(AF_INET, copy.bytes<4>(*common_, kCommonDaddr));
    } else {
        record.local_address = address_text(AF_INET6, copy.bytes<16>(*common_, kCommonV6RcvSaddr));
        record.remote_address = address_text(AF_INET6, copy.bytes<16>(*common_, kCommonV6Daddr));
        if (const auto only = copy.number(*common_, kCommonIpv6Only)) record.ipv6_only = *only != 0;
    }
    record.local_port = copy.number(*common_, kCommonNum);  // in host order, unlike the remote one
    if (const auto port = copy.number(*common_, kCommonDport))
        record.remote_port = ntohs(static_cast<std::uint16_t>(*port));
}

void SocketReader::fill_tcp(const ObjectCopy& copy, SocketRecord& record) {
    record.state = tcp_state(record.sk_state);
    // It has the states of TCP (net/mptcp/protocol.c); its subflows have the rest.
    if (record.protocol == kProtocolMptcp) return;
    record.rx_queue = record.tx_queue = std::nullopt;
    if (record.state == "LISTEN") {
        record.backlog = copy.number(*common_, kSockBacklog);
        record.max_backlog = copy.number(*common_, kSockMaxBacklog);
    }
    const Members* tcp = family(kTcpNeeds);
    if (tcp == nullptr) return;
    const auto written = copy.number(*tcp, kTcpWriteSeq);
    const auto acknowledged = copy.number(*tcp, kTcpSndUna);
    const auto received = copy.number(*tcp, kTcpRcvNxt);
    const auto consumed = copy.number(*tcp, kTcpCopiedSeq);
    const bool listens = record.state == "LISTEN";
    if (written && acknowledged && !listens) record.tx_queue = static_cast<std::uint32_t>(*written - *acknowledged);
    if (received && consumed && !listens) {
        // The end of the stream counts as one, and is consumed unseen (get_tcp4_sock).
        const auto ahead = static_cast<std::int32_t>(static_cast<std::uint32_t>(*received - *consumed));
        record.rx_queue = static_cast<std::uint64_t>(std::max(ahead, 0));
    }
    record.retransmits = copy.number(*tcp, kIcskRetransmits);
    // Where sk_timer's place is (also) the retransmit timer's, the keepalive timer is one of the connection's.
    const bool moved = common_->has(kSockRetransmitTimer);
    const auto keepalive = moved ? copy.number(*tcp, kIcskKeepaliveTimer) : copy.number(*common_, kSockTimer);
    const auto pending = copy.number(*tcp, kIcskPending);
    if (!pending) return;
    if (*pending == kRetransmit || *pending == kLossProbe || *pending == kReordering) record.timer = "retransmit";
    else if (*pending == kProbe) record.timer = "probe";
    else if (keepalive) record.timer = *keepalive != 0 ? "keepalive" : "none";
}

void SocketReader::fill_small(const ObjectCopy& copy, SocketRecord& record) {
    record.type = kSockStream;
    record.protocol = kProtocolTcp;
    const Members* tcp = family(kTcpNeeds);
    if (record.kind == SocketKind::time_wait) {
        // FIN_WAIT2 is waited for in such a one too, and shown as what it is.
        const auto substate = tcp == nullptr ? std::nullopt : copy.number(*tcp, kTwSubstate);
        record.state = substate ? tcp_state(substate) : std::nullopt;
        record.sk_state = substate;
        return;
    }
    record.state = tcp_state(record.sk_state);
    if (tcp != nullptr) record.retransmits = copy.number(*tcp, kRequestTimeouts);
}

}  // namespace vitrine::linux_os
