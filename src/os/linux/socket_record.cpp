#include "os/linux/socket_record.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "os/linux/member_reader.h"

namespace vitrine::linux_os {
namespace {

constexpr std::size_t kMostNamespaces = 1u << 16;  // remembered
constexpr std::uint64_t kSockDead = 1;             // SOCK_DEAD, the first of enum sock_flags

}  // namespace

std::string_view to_string(SocketKind kind) {
    switch (kind) {
        case SocketKind::full: return "socket";
        case SocketKind::time_wait: return "time_wait";
        case SocketKind::request: return "request";
    }
    return "";
}

SocketReader::SocketReader(LinuxGuest& guest, const Members& common, const SymbolTable& symbols)
    : guest_(guest), space_(guest.space()), common_(&common), symbols_(&symbols) {}

Result<std::unique_ptr<SocketReader>> SocketReader::open(LinuxGuest& guest, WalkBudget budget) {
    const Members* common = VITRINE_TRY(guest.members(kSocketNeeds));
    const SymbolTable* symbols = VITRINE_TRY(guest.symbols());
    std::unique_ptr<SocketReader> reader(new SocketReader(guest, *common, *symbols));
    reader->modules_ = budget;
    reader->socket_file_ops_ = symbols->address_of("socket_file_ops");
    reader->file_members_ = reader->family(kSocketFileNeeds);
    if (!reader->socket_file_ops_)
        reader->add_problem("sockets are not told from other files: there is no one symbol socket_file_ops");
    return reader;
}

std::optional<Gva> SocketReader::symbol(std::string_view name) const {
    if (const auto address = symbols_->address_of(name)) return address;
    const auto all = symbols_->all_by_name(name);
    return all.size() == 1 ? std::optional(all.front().address) : std::nullopt;
}

const Members* SocketReader::family(const NeedGroup& group) {
    if (const auto known = families_.find(&group); known != families_.end()) return known->second;
    const Members*& found = families_[&group];
    const auto members = guest_.members(group);
    if (members) return found = *members;
    // A family may be a module, with types of its own.
    const ModuleTypesWanted wanted{.module = {}, .type = group.members.front().structure};
    const auto begin = std::chrono::steady_clock::now();
    static_cast<void>(guest_.for_each_module_types(wanted, modules_, [&](const ModuleTypes& module) {
        auto resolved = resolve_members(*module.types, group);
        if (!resolved) return true;
        found = (of_modules_[&group] = std::make_unique<Members>(std::move(*resolved))).get();
        return false;
    }));
    // All families together have the time of one walk.
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
    modules_.time = std::max(modules_.time - took, std::chrono::milliseconds(0));
    if (found == nullptr) add_problem(members.error().to_string());
    return found;
}

std::size_t SocketReader::largest(std::uint64_t family_number) {
    const auto size_in = [&](const NeedGroup& group, std::size_t index) {
        const Members* members = family(group);
        return members == nullptr ? std::size_t{0} : static_cast<std::size_t>(members->struct_size(index));
    };
    std::size_t size = common_->struct_size(1);
    switch (family_number) {
        case kAfInet:
        case kAfInet6: size = std::max({size, size_in(kTcpNeeds, 0), size_in(kUdpNeeds, 1)}); break;
        case kAfUnix: size = std::max(size, size_in(kUnixNeeds, 0)); break;
        case kAfNetlink: size = std::max(size, size_in(kNetlinkNeeds, 0)); break;
        case kAfPacket: size = std::max(size, size_in(kPacketNeeds, 0)); break;
        case kAfVsock: size = std::max(size, size_in(kVsockNeeds, 0)); break;
        default: break;
    }
    return size;
}

std::optional<SocketRecord> SocketReader::read(Gva sock, bool from_tcp_table) {
    constexpr unsigned kTries = 3;  // the memory of a socket may become another one's while it is read
    for (unsigned attempt = 0; attempt < kTries; ++attempt) {
        const ObjectCopy head = ObjectCopy::read(space_, sock, common_->struct_size(0));
        const auto family_number = head.number(*common_, kCommonFamily);
        const auto state = head.number(*common_, kCommonState);
        if (!family_number || !state) return std::nullopt;
        SocketRecord record;
        record.sock = sock;
        if (from_tcp_table && *state == kTcpTimeWait) record.kind = SocketKind::time_wait;
        if (from_tcp_table && *state == kTcpNewSynRecv) record.kind = SocketKind::request;
        const Members* tcp = record.kind == SocketKind::full ? nullptr : family(kTcpNeeds);
        const std::size_t small = tcp == nullptr ? common_->struct_size(0)
                                                 : tcp->struct_size(record.kind == SocketKind::time_wait ? 1 : 2);
        const std::size_t size = record.kind == SocketKind::full ? largest(*family_number) : small;
        const ObjectCopy copy = ObjectCopy::read(space_, sock, size);
        // The copy alone counts; what was looked at before only chose its size.
        if (copy.number(*common_, kCommonFamily) != family_number) continue;
        if (from_tcp_table && copy.number(*common_, kCommonState) != state) continue;
        fill_common(copy, record);
        if (record.kind == SocketKind::full) fill_sock(copy, record);
        else fill_small(copy, record);
        return record;
    }
    return std::nullopt;
}

std::optional<SocketRecord> SocketReader::read_socket(Gva socket) {
    const MemberReader members(space_, *common_);
    const auto sock = members.pointer(socket, kSocketSk);
    if (!sock) return std::nullopt;
    if (!sock->is_null()) {
        auto record = read(*sock, false);
        // A sock that does not point back is one that was closed meanwhile, or never was this socket's.
        if (record && record->socket != socket) record->socket = {};
        return record;
    }
    SocketRecord record;
    record.socket = socket;
    record.type = members.number(socket, kSocketType);
    record.inode = inode_of(socket);
    return record;
}

std::optional<Gva> SocketReader::socket_of_file(Gva file) const {
    if (file_members_ == nullptr || !socket_file_ops_) return std::nullopt;
    const MemberReader members(space_, *file_members_);
    if (members.pointer(file, kFileOps) != socket_file_ops_) return std::nullopt;
    return members.target(file, kFilePrivate);
}

std::optional<std::uint64_t> SocketReader::namespace_number(Gva net) {
    if (const auto known = namespaces_.find(net); known != namespaces_.end()) return known->second;
    const Members* members = family(kNetNeeds);
    if (members == nullptr) return std::nullopt;
    const auto number = MemberReader(space_, *members).number(net, kNetNumber);
    if (namespaces_.size() < kMostNamespaces) namespaces_.emplace(net, number);
    return number;
}

void SocketReader::fill_common(const ObjectCopy& copy, SocketRecord& record) {
    record.family = copy.number(*common_, kCommonFamily);
    record.sk_state = copy.number(*common_, kCommonState);
    record.bound_device = copy.number(*common_, kCommonBoundDevice);
    if (const auto net = copy.pointer(*common_, kCommonNet); net && !net->is_null()) {
        record.net = *net;
        record.net_namespace = namespace_number(*net);
    }
    if (*record.family == kAfInet || *record.family == kAfInet6) fill_inet(copy, record);
}

void SocketReader::fill_sock(const ObjectCopy& copy, SocketRecord& record) {
    record.type = copy.number(*common_, kSockType);
    record.protocol = copy.number(*common_, kSockProtocol);
    record.uid = copy.number(*common_, kSockUid);
    record.filter = copy.pointer(*common_, kSockFilter).value_or(Gva{});
    if (const auto flags = copy.number(*common_, kCommonFlags)) record.orphan = (*flags & kSockDead) != 0;
    record.socket = copy.pointer(*common_, kSockSocket).value_or(Gva{});
    fill_inode(record);
    fill_queues(copy, record);
    switch (*record.family) {
        case kAfInet:
        case kAfInet6:
            if (record.type != kSockStream) break;
            if (record.protocol == kProtocolTcp || record.protocol == kProtocolMptcp) fill_tcp(copy, record);
            break;
        case kAfUnix: fill_unix(copy, record); break;
        case kAfNetlink: fill_netlink(copy, record); break;
        case kAfPacket: fill_packet(copy, record); break;
        case kAfVsock: fill_vsock(copy, record); break;
        default: break;
    }
}

// Bytes of the buffers charged to it, as the kernel counts them for all but TCP.
void SocketReader::fill_queues(const ObjectCopy& copy, SocketRecord& record) {
    record.rx_queue = copy.number(*common_, kSockRmem);
    // One is held by the sock itself (sk_wmem_alloc_get).
    if (const auto wmem = copy.number(*common_, kSockWmem); wmem && *wmem != 0) record.tx_queue = *wmem - 1;
    const bool is_udp = record.protocol == kProtocolUdp || record.protocol == kProtocolUdpLite;
    const bool is_inet = record.family == kAfInet || record.family == kAfInet6;
    if (!is_inet || !is_udp || record.type != kSockDgram) return;
    // What was read already and is not yet uncharged (udp_rqueue_get).
    const Members* udp = family(kUdpNeeds);
    const auto deficit = udp == nullptr ? std::nullopt : copy.number(*udp, kUdpDeficit);
    if (deficit && record.rx_queue) record.rx_queue = static_cast<std::uint32_t>(*record.rx_queue - *deficit);
}

void SocketReader::fill_inode(SocketRecord& record) const {
    if (record.socket.is_null()) return;
    // What does not point back is none of this sock's.
    const auto back = MemberReader(space_, *common_).pointer(record.socket, kSocketSk);
    if (back == record.sock) record.inode = inode_of(record.socket);
}

// SOCK_INODE(), include/net/sock.h
std::optional<std::uint64_t> SocketReader::inode_of(Gva socket) const {
    const Gva inode = socket.wrap_minus(common_->at(kSocketAllocSocket)).wrap_plus(common_->at(kSocketAllocInode));
    return MemberReader(space_, *common_).number(inode, kInodeNumber);
}

}  // namespace vitrine::linux_os
