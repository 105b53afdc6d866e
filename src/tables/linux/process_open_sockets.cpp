// Sockets: those that processes have open, and those that only the kernel's own tables know.
#include <array>

#include "os/linux/open_files.h"
#include "os/linux/socket_needs.h"
#include "tables/support/socket_walk.h"

namespace vitrine {
namespace {

using linux_os::SocketRecord;

constexpr std::string_view kTableName = "process_open_sockets";

enum ColumnIndex : std::size_t {
    kPid,
    kFd,
    kSocket,
    kFamily,
    kProtocol,
    kLocalAddress,
    kRemoteAddress,
    kLocalPort,
    kRemotePort,
    kPath,
    kState,
    kNetNamespace,
    kType,
    kKind,
    kFoundIn,
    kRxQueue,
    kTxQueue,
    kBacklog,
    kMaxBacklog,
    kUid,
    kPeer,
    kPortid,
    kGroups,
    kInterface,
    kPacketProtocol,
    kBoundDevice,
    kIpv6Only,
    kTimer,
    kRetransmits,
    kOrphan,
    kSkState,
    kFilter,
    kSock,
    kSocketStruct,
    kColumns
};

constexpr auto kSpec = std::to_array<Column>({
    index({"pid", ColumnType::integer, "process that has it open; NULL: none has"}),
    index({"fd", ColumnType::integer, "its descriptor in that process"}),
    index({"socket", ColumnType::integer,
           "inode number, as in socket:[INODE]; NULL: it has none (not accepted yet, closed)"}),
    {"family", ColumnType::integer, "address family: 1 unix, 2 IPv4, 10 IPv6, 16 netlink, 17 packet, 40 vsock"},
    {"protocol", ColumnType::integer, "protocol: 6 TCP, 17 UDP; of netlink the NETLINK_ number"},
    {"local_address", ColumnType::text, "address it is bound to; of vsock the context id"},
    {"remote_address", ColumnType::text, "address it is connected to"},
    {"local_port", ColumnType::integer, "port it is bound to; of raw sockets the protocol"},
    {"remote_port", ColumnType::integer, "port it is connected to; 0: not connected"},
    {"path", ColumnType::text, "name of a unix socket; an abstract one begins with @"},
    {"state", ColumnType::text,
     "TCP: ESTABLISHED, LISTEN, TIME_WAIT ...; unix, vsock: LISTEN, CONNECTED ...; else NULL"},
    {"net_namespace", ColumnType::integer, "inode number of its network namespace"},
    {"type", ColumnType::integer, "1 stream, 2 datagram, 3 raw, 5 seqpacket"},
    {"kind", ColumnType::text, "socket; of TCP also request (SYN answered, no more) and time_wait"},
    {"found_in", ColumnType::text,
     "\"file\": a process's descriptor, \"hash\": a table of the kernel's own; \"file,hash\": both; NULL: unknown"},
    {"rx_queue", ColumnType::integer,
     "received and not read yet; of others than TCP the memory it takes; NULL of a listener", Unit::bytes},
    {"tx_queue", ColumnType::integer, "not acknowledged yet; of others than TCP the memory it takes", Unit::bytes},
    {"backlog", ColumnType::integer, "of a listener: connections not accepted yet"},
    {"max_backlog", ColumnType::integer, "of a listener: most of them"},
    {"uid", ColumnType::integer, "user id of the owner (sock.sk_uid)"},
    {"peer", ColumnType::integer, "inode number of the unix socket it is connected to"},
    {"portid", ColumnType::integer, "netlink: port id, 0 is the kernel's"},
    {"groups", ColumnType::address, "netlink: the first 32 multicast groups it listens to, a bit each"},
    {"interface", ColumnType::integer, "packet: interface it is bound to; 0: all"},
    {"packet_protocol", ColumnType::integer, "packet: Ethernet protocol it receives; 3 is all of them"},
    {"bound_device", ColumnType::integer, "interface it is bound to (SO_BINDTODEVICE); 0: none"},
    {"ipv6_only", ColumnType::boolean, "1: an IPv6 socket that takes no IPv4 (IPV6_V6ONLY)"},
    {"timer", ColumnType::text, "TCP: retransmit, probe, keepalive or none"},
    {"retransmits", ColumnType::integer, "TCP: retransmissions since the last acknowledgement"},
    {"orphan", ColumnType::boolean, "1: closed by its process, the kernel still works with it"},
    {"sk_state", ColumnType::integer, "sock.sk_state as it is (st in /proc/net)"},
    {"filter", ColumnType::address, "address of struct sk_filter: a BPF program decides what it receives; NULL: none"},
    {"sock", ColumnType::address, "address of struct sock, or of the smaller structure that stands for it"},
    {"socket_struct", ColumnType::address, "address of struct socket; NULL: none"},
});
static_assert(kSpec.size() == kColumns);

constexpr auto kExamples = std::to_array<std::string_view>({
    "vitrine table process_open_sockets qemu:web1",
    "vitrine table process_open_sockets qemu:web1 --format json | jq '.[] | select(.state == \"ESTABLISHED\")'",
});

constexpr auto kQueries = std::to_array<std::string_view>({
    "SELECT p.name, s.remote_address, s.remote_port FROM process_open_sockets s JOIN processes p ON p.pid = s.pid "
    "WHERE s.state = 'ESTABLISHED' AND s.remote_address NOT IN ('127.0.0.1', '::1')",
    "SELECT p.name, p.path, s.packet_protocol, s.filter FROM process_open_sockets s JOIN processes p ON p.pid = s.pid "
    "WHERE s.family = 17",
    "SELECT state, kind, count(*) FROM process_open_sockets WHERE pid IS NULL AND protocol = 6 GROUP BY state, kind",
    "SELECT a.pid, b.pid, a.path FROM process_open_sockets a JOIN process_open_sockets b ON b.socket = a.peer "
    "WHERE a.family = 1",
});

// Sockets of these kinds are put into a table by the call that makes them what they are.
constexpr auto kInvariants = std::to_array<Invariant>({
    {"a process has a descriptor once",
     "SELECT pid, fd FROM process_open_sockets WHERE pid IS NOT NULL GROUP BY pid, fd HAVING count(*) > 1"},
    {"a socket that a process has open has an inode",
     "SELECT * FROM process_open_sockets WHERE pid IS NOT NULL AND socket IS NULL"},
    {"a TCP socket that is not closed is in the kernel's table",
     "SELECT * FROM process_open_sockets WHERE family IN (2, 10) AND protocol = 6 AND type = 1 AND state <> 'CLOSED' "
     "AND local_port <> 0 AND found_in = 'file'"},
    {"a UDP socket with a port is in the kernel's table",
     "SELECT * FROM process_open_sockets WHERE family IN (2, 10) AND protocol IN (17, 136) AND type = 2 AND "
     "local_port <> 0 AND found_in = 'file'"},
    {"a raw socket is in the kernel's table",
     "SELECT * FROM process_open_sockets WHERE family IN (2, 10) AND type = 3 AND found_in = 'file'"},
    {"a unix socket is in the kernel's table",
     "SELECT * FROM process_open_sockets WHERE family = 1 AND found_in = 'file'"},
    {"a packet socket is in the kernel's table",
     "SELECT * FROM process_open_sockets WHERE family = 17 AND found_in = 'file'"},
});

template <class T>
Value text(const std::optional<T>& value) {
    return value ? Value(*value) : Value();
}
Value boolean(const std::optional<bool>& value) { return value ? Value(std::int64_t{*value ? 1 : 0}) : Value(); }
Value pointer(Gva value) { return value.is_null() ? Value() : tables::address(value); }

using Row = std::array<Value, kColumns>;

Row row_of(const SocketRecord& record, const tables::SocketHolder& holder) {
    using tables::integer;
    Row row;
    row[kPid] = integer(holder.pid);
    row[kFd] = integer(holder.fd);
    row[kSocket] = integer(record.inode);
    row[kFamily] = integer(record.family);
    row[kProtocol] = integer(record.protocol);
    row[kLocalAddress] = text(record.local_address);
    row[kRemoteAddress] = text(record.remote_address);
    row[kLocalPort] = integer(record.local_port);
    row[kRemotePort] = integer(record.remote_port);
    row[kPath] = text(record.path);
    row[kState] = text(record.state);
    row[kNetNamespace] = integer(record.net_namespace);
    row[kType] = integer(record.type);
    row[kKind] = std::string(to_string(record.kind));
    row[kFoundIn] = text(tables::found_in(holder));
    row[kRxQueue] = integer(record.rx_queue);
    row[kTxQueue] = integer(record.tx_queue);
    row[kBacklog] = integer(record.backlog);
    row[kMaxBacklog] = integer(record.max_backlog);
    row[kUid] = integer(record.uid);
    row[kPeer] = integer(record.peer_inode);
    row[kPortid] = integer(record.portid);
    if (record.groups) row[kGroups] = tables::address(*record.groups);
    row[kInterface] = integer(record.ifindex);
    row[kPacketProtocol] = integer(record.packet_protocol);
    row[kBoundDevice] = integer(record.bound_device);
    row[kIpv6Only] = boolean(record.ipv6_only);
    row[kTimer] = text(record.timer);
    row[kRetransmits] = integer(record.retransmits);
    row[kOrphan] = boolean(record.orphan);
    row[kSkState] = integer(record.sk_state);
    row[kFilter] = pointer(record.filter);
    row[kSock] = pointer(record.sock);
    row[kSocketStruct] = pointer(record.socket);
    return row;
}

Result<WalkReport> generate(LinuxGuest& guest, QueryContext& context, RowSink& sink) {
    const tables::SocketQuery query{kTableName, kPid, kFd, kSocket, context.uses(kFoundIn)};
    return tables::for_each_socket(guest, context, sink, query,
                                   [](const SocketRecord& record, const tables::SocketHolder& holder, RowSink& rows) {
                                       return rows.row(row_of(record, holder));
                                   });
}

constexpr auto kNeeds = std::to_array<const NeedGroup*>(
    {&linux_os::kSocketNeeds, &linux_os::kSocketFileNeeds, &linux_os::kOpenFileNeeds, &linux_os::kNetNeeds,
     &linux_os::kTcpNeeds, &linux_os::kTcpTableNeeds, &linux_os::kUdpNeeds, &linux_os::kRawNeeds, &linux_os::kUnixNeeds,
     &linux_os::kNetlinkNeeds, &linux_os::kPacketNeeds, &linux_os::kVsockNeeds});
constexpr auto kGenerators = std::to_array<Generator>({{"linux", tables::on_linux<generate>, kNeeds}});

}  // namespace

extern const Table table_process_open_sockets;
const Table table_process_open_sockets{
    {kTableName, "Sockets, those of no process among them.", kSpec, kExamples, kQueries, kInvariants},
    kGenerators};

}  // namespace vitrine
