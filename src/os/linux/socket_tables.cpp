#include "os/linux/socket_tables.h"

#include <algorithm>
#include <array>
#include <unordered_set>

#include <fmt/format.h>

#include "os/linux/list_walk.h"
#include "os/linux/member_reader.h"

namespace vitrine::linux_os {
namespace {

// Constants of the kernel's source that its types do not tell.
constexpr std::uint64_t kListeningNullsBase =
    1u << 29;  // LISTENING_NULLS_BASE, include/net/tcp.h: a listener's chain is no connection's
constexpr std::uint64_t kUnixBuckets = 512;      // UNIX_HASH_SIZE, include/net/af_unix.h: 256 of inodes, 256 of names
constexpr std::uint64_t kNetlinkProtocols = 32;  // MAX_LINKS, include/uapi/linux/netlink.h
constexpr std::uint64_t kVsockBuckets = 251;     // VSOCK_HASH_SIZE, net/vmw_vsock/af_vsock.c

class Collector {
public:
    Collector(SocketReader& reader, WalkBudget budget)
        : reader_(reader),
          space_(reader.guest().space()),
          node_(reader.common().at(kCommonNode)),
          budget_(budget),
          deadline_(budget.time),
          walk_(space_, budget) {}

    SocketTables run() {
        namespaces();
        tcp();
        udp();
        raw("raw_v4_hashinfo");
        raw("raw_v6_hashinfo");
        unix_sockets();
        netlink();
        packet();
        vsock();
        found_.report.nodes = found_.sockets.size();
        if (found_.report.end == WalkEnd::complete) {
            found_.report.end = walk_.report().end;
            found_.report.last_address = walk_.report().last_address;
        }
        found_.problems.insert(found_.problems.end(), walk_.problems().begin(), walk_.problems().end());
        return std::move(found_);
    }

private:
    void problem(std::string text) {
        constexpr std::size_t kMost = 1000;
        if (found_.problems.size() < kMost) found_.problems.push_back(std::move(text));
    }
    void no_symbol(const char* what, const char* name) {
        problem(fmt::format("the table of {} is not walked: there is no one symbol {}", what, name));
    }

    bool take(Gva sock, bool from_tcp_table) {
        if (seen_.insert(sock).second) found_.sockets.push_back({sock, from_tcp_table});
        return true;
    }
    void chains(const ChainTable& table, bool from_tcp_table = false) {
        if (going_) going_ = walk_.chains(table, [&](Gva sock) { return take(sock, from_tcp_table); });
    }

    // The initial one where the list of all cannot be walked.
    void namespaces() {
        net_ = reader_.family(kNetNeeds);
        const auto head = reader_.symbol("net_namespace_list");
        const auto initial = reader_.symbol("init_net");
        if (net_ != nullptr && head) {
            const WalkReport report = walk_list(space_, *head, budget_, [&](Gva node) {
                nets_.push_back(node.wrap_minus(net_->at(kNetList)));
                return true;
            });
            if (report.end != WalkEnd::complete) {
                found_.report = report;
                problem(fmt::format("the list of network namespaces ended early: {}", to_string(report.end)));
            }
        } else {
            no_symbol("network namespaces", "net_namespace_list");
        }
        if (initial && std::find(nets_.begin(), nets_.end(), *initial) == nets_.end()) nets_.push_back(*initial);
    }

    // A table that each namespace points to: a shared one is many times the same.
    std::vector<Gva> of_each_namespace(std::size_t member, const char* global) {
        std::unordered_set<Gva> known;
        std::vector<Gva> tables;
        const auto add = [&](std::optional<Gva> table) {
            if (table && !table->is_null() && known.insert(*table).second) tables.push_back(*table);
        };
        if (net_ != nullptr && net_->has(member)) {
            const MemberReader read(space_, *net_);
            for (const Gva net : nets_) add(read.pointer(net, member));
        }
        add(reader_.symbol(global));
        return tables;
    }

    void tcp() {
        const Members* members = reader_.family(kTcpTableNeeds);
        if (members == nullptr) return;
        const auto tables = of_each_namespace(kNetHashinfo, "tcp_hashinfo");
        if (tables.empty()) no_symbol("TCP", "tcp_hashinfo");
        const MemberReader read(space_, *members);
        for (const Gva table : tables) {
            if (!going_) return;
            const auto buckets = read.pointer(table, kEhash);
            const auto mask = read.number(table, kEhashMask);
            if (buckets && mask) {
                chains({*buckets, *mask + 1, members->struct_size(0), members->at(kEhashChain), node_, 0}, true);
            } else {
                problem(fmt::format("the table of TCP at {:#x} cannot be read", table.value));
            }
            listeners(read, table);
        }
    }

    void listeners(const MemberReader& read, Gva table) {
        const Members& members = read.members();
        const std::uint64_t stride = members.struct_size(1);
        const std::uint64_t head = members.at(kListenHead);
        if (members.has(kListeningHash)) {
            const std::uint64_t count = members.slot(kListeningHash).size / stride;
            chains({read.address(table, kListeningHash), count, stride, head, node_, kListeningNullsBase});
            return;
        }
        const auto buckets = read.target(table, kLhash2);
        const auto mask = read.number(table, kLhash2Mask);
        // A namespace's own table of connections has the listeners of all.
        if (!buckets || !mask) return problem(fmt::format("listeners of TCP at {:#x} cannot be read", table.value));
        if (listening_seen_.insert(*buckets).second)
            chains({*buckets, *mask + 1, stride, head, node_, kListeningNullsBase});
    }

    void udp() {
        const Members* members = reader_.family(kUdpNeeds);
        if (members == nullptr) return;
        auto tables = of_each_namespace(kNetUdpTable, "udp_table");
        if (tables.empty()) no_symbol("UDP", "udp_table");
        // Gone since 7.1, with the protocol.
        if (const auto lite = reader_.symbol("udplite_table")) tables.push_back(*lite);
        const MemberReader read(space_, *members);
        for (const Gva table : tables) {
            if (!going_) return;
            const auto buckets = read.pointer(table, kUdpHash);
            const auto mask = read.number(table, kUdpMask);
            if (buckets && mask) {
                chains({*buckets, *mask + 1, members->struct_size(0), members->at(kUdpSlotHead), node_});
            } else {
                problem(fmt::format("the table of UDP at {:#x} cannot be read", table.value));
            }
        }
    }

    void raw(const char* symbol) {
        const Members* members = reader_.family(kRawNeeds);
        const auto table = reader_.symbol(symbol);
        if (members == nullptr) return;
        if (!table) return no_symbol("raw sockets", symbol);
        const std::uint64_t first = members->at(kRawFirst);  // ht[0].first: the heads are pointers
        chains({table->wrap_plus(first), members->slot(kRawTable).size / 8, 8, 0, node_});
    }

    void unix_sockets() {
        if (net_ != nullptr && net_->has(kNetUnixBuckets)) {
            const MemberReader read(space_, *net_);
            for (const Gva net : nets_) {
                if (!going_) return;
                const auto buckets = read.pointer(net, kNetUnixBuckets);
                if (buckets && !buckets->is_null()) chains({*buckets, kUnixBuckets, 8, 0, node_});
                else if (!buckets)
                    problem(fmt::format("unix sockets of the namespace at {:#x} cannot be read", net.value));
            }
            return;
        }
        const auto table = reader_.symbol("unix_socket_table");
        if (!table) return no_symbol("unix sockets", "unix_socket_table");
        chains({*table, kUnixBuckets, 8, 0, node_});
    }

    void netlink() {
        const Members* members = reader_.family(kNetlinkNeeds);
        const auto hash_members = reader_.guest().members(kRhashtableNeeds);
        const auto pointer = reader_.symbol("nl_table");
        if (!pointer) return no_symbol("netlink sockets", "nl_table");
        if (!hash_members) return problem(hash_members.error().to_string());
        if (members == nullptr) return;
        const auto tables = space_.read_pointer(*pointer);
        if (!tables) return problem("the tables of netlink sockets cannot be read");
        for (std::uint64_t i = 0; i < kNetlinkProtocols && !tables->is_null(); ++i) {
            const Gva hash = tables->wrap_plus(i * members->struct_size(1) + members->at(kNetlinkTableHash));
            if (!going_) return;
            going_ = walk_.rhashtable(**hash_members, hash, members->at(kNetlinkNode),
                                      [&](Gva sock) { return take(sock, false); });
        }
    }

    void packet() {
        if (net_ == nullptr) return;
        if (!net_->has(kNetPacketList)) return problem("packet sockets are not walked: net.packet.sklist is missing");
        for (const Gva net : nets_) chains({net.wrap_plus(net_->at(kNetPacketList)), 1, 8, 0, node_});
    }

    // A module, which need not be there. Lists, not chains: each bucket is a list_head.
    void vsock() {
        const auto bound = reader_.symbol("vsock_bind_table");
        const auto connected = reader_.symbol("vsock_connected_table");
        if (!bound && !connected) return;
        const Members* members = reader_.family(kVsockNeeds);
        if (members == nullptr) return;
        // The last of those that are bound is the list of those that are not.
        if (bound) lists(*bound, kVsockBuckets + 1, members->at(kVsockBoundTable));
        if (connected) lists(*connected, kVsockBuckets, members->at(kVsockConnectedTable));
    }
    void lists(Gva heads, std::uint64_t count, std::uint64_t link) {
        for (std::uint64_t i = 0; i < count && going_; ++i) {
            const Gva head = heads.wrap_plus(i * 16);
            const WalkReport report = walk_list(space_, head, budget_, [&](Gva node) {
                return take(node.wrap_minus(link), false) && !deadline_.passed() &&
                       found_.sockets.size() < budget_.nodes;
            });
            if (report.end == WalkEnd::complete) continue;
            const WalkEnd end = report.end == WalkEnd::stopped ? WalkEnd::budget : report.end;
            if (found_.report.end == WalkEnd::complete) found_.report = {end, 0, 0, report.last_address};
            return problem(fmt::format("a list of vsock sockets at {:#x} ended early: {}", head.value, to_string(end)));
        }
    }

    SocketReader& reader_;
    const AddressSpace& space_;
    std::uint64_t node_;
    WalkBudget budget_;
    Deadline deadline_;
    HashWalk walk_;
    bool going_ = true;  // false: the budget is used up
    const Members* net_ = nullptr;
    std::vector<Gva> nets_;
    std::unordered_set<Gva> seen_;
    std::unordered_set<Gva> listening_seen_;
    SocketTables found_;
};

}  // namespace

SocketTables walk_socket_tables(SocketReader& reader, WalkBudget budget) { return Collector(reader, budget).run(); }

}  // namespace vitrine::linux_os
