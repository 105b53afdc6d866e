#include "os/linux/socket_needs.h"

#include <array>

namespace vitrine::linux_os {
namespace {

using enum MemberShape;
using Names = std::string_view;

// What is found in a hash table may be less than a struct sock (time wait, request): only its sock_common is there.
constexpr auto kSocketMembers = std::to_array<MemberNeed>({
    {"sock_common", {"skc_family"}, number},
    {"sock_common", {"skc_state"}, number},
    {"sock_common", {"skc_num"}, number},
    {"sock_common", {"skc_dport"}, number},
    {"sock_common", {"skc_daddr"}, u32},
    {"sock_common", {"skc_rcv_saddr"}, u32},
    {"sock_common", {"skc_v6_daddr"}, record, false},
    {"sock_common", {"skc_v6_rcv_saddr"}, record, false},
    {"sock_common", {"skc_net.net"}, pointer, false},
    {"sock_common", {"skc_node"}, record},  // the same place as skc_nulls_node
    {"sock_common", {"skc_bound_dev_if"}, number, false},
    {"sock_common", {"skc_ipv6only"}, number, false},
    {"sock_common", {"skc_flags"}, number, false},
    {"sock", {"sk_type"}, number},
    {"sock", {"sk_protocol"}, number},
    {"sock", {"sk_socket"}, pointer},
    {"sock", {"sk_uid"}, u32, false},
    {"sock", {"sk_ack_backlog"}, number, false},
    {"sock", {"sk_max_ack_backlog"}, number, false},
    {"sock", {"sk_backlog.rmem_alloc"}, u32, false},
    {"sock", {"sk_wmem_alloc"}, u32, false},
    {"sock", {"sk_filter"}, pointer, false},
    {"sock", {"sk_timer.entry.pprev"}, pointer, false},
    {"sock", {"tcp_retransmit_timer"}, record, false},
    {"socket", {"sk"}, pointer},
    {"socket", {"type"}, number, false},
    {"socket_alloc", {"socket"}, record},
    {"socket_alloc", {"vfs_inode"}, record},
    {"inode", {"i_ino"}, number},
});
static_assert(kSocketMembers.size() == kInodeNumber + 1);
constexpr auto kSocketSizes = std::to_array<Names>({"sock_common", "sock"});

constexpr auto kSocketFileMembers = std::to_array<MemberNeed>({
    {"file", {"f_op"}, pointer},
    {"file", {"private_data"}, pointer},
});

constexpr auto kNetMembers = std::to_array<MemberNeed>({
    {"net", {"list"}, list},
    {"net", {"ns.inum"}, u32, false},
    // Linux d1e5e6408b30 "tcp: Introduce optional per-netns ehash." (6.1); the pointer itself is older.
    {"net", {"ipv4.tcp_death_row.hashinfo"}, pointer, false},
    // Linux "udp: Access &udp_table via net." (6.2)
    {"net", {"ipv4.udp_table"}, pointer, false},
    // Linux "af_unix: Define a per-netns hash table." (6.0); unix_socket_table before.
    {"net", {"unx.table.buckets"}, pointer, false},
    {"net", {"packet.sklist"}, record, false},
});

constexpr auto kTcpMembers = std::to_array<MemberNeed>({
    {"tcp_sock", {"write_seq"}, u32, false},
    {"tcp_sock", {"snd_una"}, u32, false},
    {"tcp_sock", {"rcv_nxt"}, u32, false},
    {"tcp_sock", {"copied_seq"}, u32, false},
    {"inet_connection_sock", {"icsk_retransmits"}, number, false},
    {"inet_connection_sock", {"icsk_pending"}, number, false},
    {"inet_connection_sock", {"icsk_keepalive_timer.entry.pprev"}, pointer, false},
    {"inet_timewait_sock", {"tw_substate"}, number, false},
    {"request_sock", {"num_timeout"}, number, false},
});
constexpr auto kTcpSizes = std::to_array<Names>({"tcp_sock", "inet_timewait_sock", "request_sock"});

constexpr auto kTcpTableMembers = std::to_array<MemberNeed>({
    {"inet_hashinfo", {"ehash"}, pointer},
    {"inet_hashinfo", {"ehash_mask"}, u32},
    {"inet_ehash_bucket", {"chain"}, record},
    // Linux cae3873c5b3a "net: inet: Retire port only listening_hash" (5.19); lhash2 holds every listener since.
    {"inet_hashinfo", {"listening_hash"}, records, false},
    {"inet_hashinfo", {"lhash2"}, pointer, false},
    {"inet_hashinfo", {"lhash2_mask"}, u32, false},
    {"inet_listen_hashbucket", {"nulls_head", "head"}, record},
});
constexpr auto kTcpTableSizes = std::to_array<Names>({"inet_ehash_bucket", "inet_listen_hashbucket"});

constexpr auto kUdpMembers = std::to_array<MemberNeed>({
    {"udp_sock", {"forward_deficit"}, u32, false},
    {"udp_table", {"hash"}, pointer},
    {"udp_table", {"mask"}, u32},
    {"udp_hslot", {"head"}, record},
});
constexpr auto kUdpSizes = std::to_array<Names>({"udp_hslot", "udp_sock"});

constexpr auto kRawMembers = std::to_array<MemberNeed>({
    {"raw_hashinfo", {"ht"}, records},
    {"raw_hashinfo", {"ht[0].first"}, pointer},
});

constexpr auto kUnixMembers = std::to_array<MemberNeed>({
    {"unix_sock", {"addr"}, pointer},
    {"unix_sock", {"peer"}, pointer, false},
    {"unix_address", {"len"}, u32},
    {"unix_address", {"name"}, array},
});
constexpr auto kUnixSizes = std::to_array<Names>({"unix_sock"});

constexpr auto kNetlinkMembers = std::to_array<MemberNeed>({
    {"netlink_sock", {"portid"}, u32},
    {"netlink_sock", {"groups"}, pointer, false},
    {"netlink_sock", {"node"}, record},
    {"netlink_table", {"hash"}, record},
});
constexpr auto kNetlinkSizes = std::to_array<Names>({"netlink_sock", "netlink_table"});

constexpr auto kPacketMembers = std::to_array<MemberNeed>({
    {"packet_sock", {"ifindex"}, u32},
    {"packet_sock", {"num"}, number},
});
constexpr auto kPacketSizes = std::to_array<Names>({"packet_sock"});

constexpr auto kVsockMembers = std::to_array<MemberNeed>({
    {"vsock_sock", {"local_addr.svm_cid"}, u32},
    {"vsock_sock", {"local_addr.svm_port"}, u32},
    {"vsock_sock", {"remote_addr.svm_cid"}, u32},
    {"vsock_sock", {"remote_addr.svm_port"}, u32},
    {"vsock_sock", {"bound_table"}, list},
    {"vsock_sock", {"connected_table"}, list},
});
constexpr auto kVsockSizes = std::to_array<Names>({"vsock_sock"});

}  // namespace

const NeedGroup kSocketNeeds{"sockets", kSocketMembers, kSocketSizes};
const NeedGroup kSocketFileNeeds{"sockets of files", kSocketFileMembers};
const NeedGroup kNetNeeds{"network namespaces", kNetMembers};
const NeedGroup kTcpNeeds{"TCP sockets", kTcpMembers, kTcpSizes};
const NeedGroup kTcpTableNeeds{"the TCP hash tables", kTcpTableMembers, kTcpTableSizes};
const NeedGroup kUdpNeeds{"UDP sockets", kUdpMembers, kUdpSizes};
const NeedGroup kRawNeeds{"the tables of raw sockets", kRawMembers};
const NeedGroup kUnixNeeds{"unix sockets", kUnixMembers, kUnixSizes};
const NeedGroup kNetlinkNeeds{"netlink sockets", kNetlinkMembers, kNetlinkSizes};
const NeedGroup kPacketNeeds{"packet sockets", kPacketMembers, kPacketSizes};
const NeedGroup kVsockNeeds{"vsock sockets", kVsockMembers, kVsockSizes};

}  // namespace vitrine::linux_os
