// What waits for others to connect or to send: listeners of TCP, unix and vsock, bound UDP, unix datagram and raw sockets.
#include <array>

#include "os/linux/open_files.h"
#include "os/linux/socket_needs.h"
#include "tables/support/socket_walk.h"

namespace vitrine {
namespace {

using namespace linux_os;  // NOLINT: the names of families and protocols

constexpr std::string_view kTableName = "listening_ports";

enum ColumnIndex : std::size_t {
    kPid,
    kPort,
    kProtocol,
    kFamily,
    kAddress,
    kFd,
    kSocket,
    kPath,
    kNetNamespace,
    kType,
    kFoundIn,
    kBacklog,
    kMaxBacklog,
    kUid,
    kBoundDevice,
    kIpv6Only,
    kFilter,
    kSock,
    kColumns
};

constexpr auto kSpec = std::to_array<Column>({
    index({"pid", ColumnType::integer,
           "process that has it open; NULL: none has (the kernel's own, or a hidden process's)"}),
    {"port", ColumnType::integer, "port it is bound to; of raw sockets the protocol; 0 of unix sockets"},
    {"protocol", ColumnType::integer, "protocol: 6 TCP, 17 UDP"},
    {"family", ColumnType::integer, "address family: 1 unix, 2 IPv4, 10 IPv6, 40 vsock"},
    {"address", ColumnType::text, "address it is bound to; of vsock the context id"},
    index({"fd", ColumnType::integer, "its descriptor in that process"}),
    index({"socket", ColumnType::integer, "inode number, as in socket:[INODE]"}),
    {"path", ColumnType::text, "name of a unix socket; an abstract one begins with @"},
    {"net_namespace", ColumnType::integer, "inode number of its network namespace"},
    {"type", ColumnType::integer, "1 stream, 2 datagram, 3 raw, 5 seqpacket"},
    {"found_in", ColumnType::text,
     "\"file\": a process's descriptor, \"hash\": a table of the kernel's own; \"file,hash\": both; NULL: unknown"},
    {"backlog", ColumnType::integer, "connections not accepted yet"},
    {"max_backlog", ColumnType::integer, "most of them"},
    {"uid", ColumnType::integer, "user id of the owner (sock.sk_uid)"},
    {"bound_device", ColumnType::integer, "interface it is bound to (SO_BINDTODEVICE); 0: none"},
    {"ipv6_only", ColumnType::boolean, "1: an IPv6 socket that takes no IPv4 (IPV6_V6ONLY)"},
    {"filter", ColumnType::address, "address of struct sk_filter: a BPF program decides what it receives; NULL: none"},
    {"sock", ColumnType::address, "address of struct sock"},
});
static_assert(kSpec.size() == kColumns);

constexpr auto kExamples = std::to_array<std::string_view>({
    "vitrine table listening_ports qemu:web1",
    "vitrine table listening_ports qemu:web1 --format json | jq '.[] | select(.address == \"0.0.0.0\")'",
});

constexpr auto kQueries = std::to_array<std::string_view>({
    "SELECT l.port, l.address, p.name FROM listening_ports l JOIN processes p ON p.pid = l.pid WHERE l.protocol = 6",
    "SELECT port, address, protocol FROM listening_ports WHERE pid IS NULL AND family IN (2, 10)",
    "SELECT l.port, p.path FROM listening_ports l JOIN processes p ON p.pid = l.pid WHERE p.on_disk = 0",
});

constexpr auto kInvariants = std::to_array<Invariant>({
    {"what listens is in the kernel's table",
     "SELECT * FROM listening_ports WHERE found_in = 'file' AND (family = 1 OR family IN (2, 10) AND "
     "protocol NOT IN (132, 262))"},
    {"one who listens by TCP or UDP has a port",
     "SELECT * FROM listening_ports WHERE protocol IN (6, 17) AND port = 0"},
});

bool listens(const SocketRecord& record) {
    if (record.kind != SocketKind::full || !record.family) return false;
    if (record.family == kAfInet || record.family == kAfInet6) {
        if (record.type == kSockStream) return record.state == "LISTEN";
        const bool is_udp = record.protocol == linux_os::kProtocolUdp || record.protocol == linux_os::kProtocolUdpLite;
        if (record.type == kSockDgram && !is_udp) return false;  // the "port" of ICMP is the ident of a ping
        const bool is_bound = record.local_port && *record.local_port != 0;
        return is_bound && (!record.remote_port || *record.remote_port == 0);
    }
    if (record.family == kAfUnix) {
        if (record.type == kSockDgram) return record.path.has_value();
        return record.state == "LISTEN";
    }
    return record.family == kAfVsock && record.state == "LISTEN";
}

template <class T>
Value text(const std::optional<T>& value) {
    return value ? Value(*value) : Value();
}

using Row = std::array<Value, kColumns>;

Row row_of(const SocketRecord& record, const tables::SocketHolder& holder) {
    using tables::integer;
    Row row;
    row[kPid] = integer(holder.pid);
    row[kPort] = record.family == kAfUnix ? Value(std::int64_t{0}) : integer(record.local_port);
    row[kProtocol] = integer(record.protocol);
    row[kFamily] = integer(record.family);
    row[kAddress] = text(record.local_address);
    row[kFd] = integer(holder.fd);
    row[kSocket] = integer(record.inode);
    row[kPath] = text(record.path);
    row[kNetNamespace] = integer(record.net_namespace);
    row[kType] = integer(record.type);
    row[kFoundIn] = text(tables::found_in(holder));
    row[kBacklog] = integer(record.backlog);
    row[kMaxBacklog] = integer(record.max_backlog);
    row[kUid] = integer(record.uid);
    row[kBoundDevice] = integer(record.bound_device);
    if (record.ipv6_only) row[kIpv6Only] = std::int64_t{*record.ipv6_only ? 1 : 0};
    if (!record.filter.is_null()) row[kFilter] = tables::address(record.filter);
    row[kSock] = tables::address(record.sock);
    return row;
}

Result<WalkReport> generate(LinuxGuest& guest, QueryContext& context, RowSink& sink) {
    const tables::SocketQuery query{kTableName, kPid, kFd, kSocket, context.uses(kFoundIn)};
    return tables::for_each_socket(guest, context, sink, query,
                                   [](const SocketRecord& record, const tables::SocketHolder& holder, RowSink& rows) {
                                       return !listens(record) || rows.row(row_of(record, holder));
                                   });
}

constexpr auto kNeeds = std::to_array<const NeedGroup*>({&kSocketNeeds, &kSocketFileNeeds, &kOpenFileNeeds, &kNetNeeds,
                                                         &kTcpNeeds, &kTcpTableNeeds, &kUdpNeeds, &kRawNeeds,
                                                         &kUnixNeeds, &kVsockNeeds});
constexpr auto kGenerators = std::to_array<Generator>({{"linux", tables::on_linux<generate>, kNeeds}});

}  // namespace

extern const Table table_listening_ports;
const Table table_listening_ports{
    {kTableName, "Sockets that wait for others to connect or to send.", kSpec, kExamples, kQueries, kInvariants},
    kGenerators};

}  // namespace vitrine
