#include "tables/support/socket_walk.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "os/linux/open_files.h"
#include "os/linux/socket_tables.h"
#include "os/linux/task_watch.h"
#include "tables/support/process_walk.h"

namespace vitrine::tables {
namespace {

using linux_os::OpenFile;
using linux_os::OpenFileList;
using linux_os::OpenFiles;
using linux_os::SocketReader;
using linux_os::SocketRecord;
using linux_os::SocketTables;
using linux_os::TabledSocket;

// Kinds that are in a table as long as they have an address, or always.
bool should_be_in_table(const SocketRecord& record) {
    if (record.family == linux_os::kAfUnix || record.family == linux_os::kAfPacket) return true;
    if (record.family != linux_os::kAfInet && record.family != linux_os::kAfInet6) return false;
    // One that connects has its state before its port, and its port before its place in the table.
    if (!record.local_port || *record.local_port == 0) return false;
    // ICMP, L2TP, SCTP and MPTCP have tables of their own, or none: those are not walked.
    if (record.type == linux_os::kSockRaw) return true;
    if (record.type == linux_os::kSockDgram)
        return record.protocol == linux_os::kProtocolUdp || record.protocol == linux_os::kProtocolUdpLite;
    return record.type == linux_os::kSockStream && record.protocol == linux_os::kProtocolTcp && record.state &&
           record.state != "CLOSED";
}

bool is_running(const LinuxGuest& guest) {
    const std::vector<TaskKey> none;
    return linux_os::TaskWatch(guest, none, linux_os::FieldId::task_tasks).runs();
}

class SocketWalk {
public:
    SocketWalk(SocketReader& reader, const Members& file_members, QueryContext& context, RowSink& sink,
               const SocketQuery& query, SocketVisitor visit)
        : reader_(reader),
          open_files_(OpenFiles::of_guest(reader.guest(), file_members)),
          context_(context),
          sink_(sink),
          query_(query),
          visit_(visit),
          warnings_(sink, query.table),
          wanted_fd_(context.wanted_integer(query.fd)),
          wanted_inode_(context.wanted_integer(query.inode)),
          of_processes_only_(context.wanted_integer(query.pid) || wanted_fd_),
          runs_(is_running(reader.guest())),
          looks_(context.budget.time / 4) {}

    Result<WalkReport> run() {
        WalkReport tabled;
        if (!of_processes_only_ || query_.wants_in_table) {
            SocketTables tables = look_at_tables();
            tabled = tables.report;
            for (std::string& problem : tables.problems) warnings_.tell(std::move(problem));
            sockets_ = std::move(tables.sockets);
            tables_known_ = true;
        }
        WalkReport report = VITRINE_TRY(for_each_process(
            reader_.guest(), context_, sink_, query_.pid, query_.table,
            [&](const TaskKey& key, const linux_os::TaskView& task, RowSink& rows) { return process(key, task, rows); },
            [&] { held_.insert(of_this_process_.begin(), of_this_process_.end()); }));
        if (report.end != WalkEnd::stopped && !of_processes_only_) report.end = rest(report.end);
        for (const std::string& problem : reader_.problems()) warnings_.tell(problem);
        if (report.end == WalkEnd::complete) {
            report.end = tabled.end;
            report.last_address = tabled.last_address;
        }
        return report;
    }

private:
    SocketTables look_at_tables() {
        reader_.guest().new_generation();
        SocketTables tables = walk_socket_tables(reader_, context_.budget);
        for (const TabledSocket& socket : tables.sockets) tabled_.insert(socket.sock);
        return tables;
    }

    bool process(const TaskKey& key, const linux_os::TaskView& task, RowSink& rows) {
        of_this_process_.clear();
        const OpenFileList list = open_files_.of_task(task, context_.budget);
        for (const OpenFile& open : list.files) {
            if (wanted_fd_ && *wanted_fd_ != open.fd) continue;
            const auto socket = reader_.socket_of_file(open.file);
            if (!socket) continue;
            if (wanted_inode_ && reader_.inode_of(*socket) != static_cast<std::uint64_t>(*wanted_inode_)) continue;
            auto record = reader_.read_socket(*socket);
            const Look look = runs_ && is_odd(record) ? look_again(task, open.fd, record) : Look::settled;
            if (look == Look::gone) continue;
            if (!record) {
                tell(rows, fmt::format("pid {}: the socket of descriptor {} cannot be read", key.tgid, open.fd),
                     *socket);
                continue;
            }
            of_this_process_.push_back(record->sock);
            const bool is_known = tables_known_ && look == Look::settled;
            if (!visit_(*record, {key.tgid, open.fd, tabled_.contains(record->sock), is_known}, rows)) return false;
        }
        if (list.report.end != WalkEnd::complete)
            tell(rows, fmt::format("pid {}: the table of descriptors: {}", key.tgid, to_string(list.report.end)),
                 Gva{list.report.last_address});
        return true;
    }

    [[nodiscard]] bool is_missed(const SocketRecord& record) const {
        return tables_known_ && !tabled_.contains(record.sock) && should_be_in_table(record);
    }
    // As a socket is while it is made or closed.
    [[nodiscard]] bool is_odd(const std::optional<SocketRecord>& record) const {
        return !record || record->sock.is_null() || record->socket.is_null() || is_missed(*record);
    }

    enum class Look : std::uint8_t { settled, unsettled, gone };

    // A running guest may have made the socket since the tables were looked at, or closed it. What was the descriptor's
    // before and after the tables were looked at, and is in none, is missing there. `gone`: the descriptor is no
    // socket's any more.
    Look look_again(const linux_os::TaskView& task, std::uint32_t fd, std::optional<SocketRecord>& record) {
        constexpr unsigned kTries = 4;
        for (unsigned attempt = 0; attempt < kTries; ++attempt) {
            if (looks_.passed_now()) return Look::unsettled;  // each look costs a whole table of descriptors
            const bool looked = record && is_missed(*record);
            if (looked) (void)look_at_tables();
            // Nothing of before the end of that look is to be taken for what was there after it.
            reader_.guest().new_generation();
            const OpenFileList now = open_files_.of_task(task, context_.budget);
            const auto same = std::find_if(now.files.begin(), now.files.end(),
                                           [&](const OpenFile& other) { return other.fd == fd; });
            const auto socket = same == now.files.end() ? std::nullopt : reader_.socket_of_file(same->file);
            if (!socket) return Look::gone;
            const auto before = std::exchange(record, reader_.read_socket(*socket));
            if (!is_odd(record)) return Look::settled;
            // Memory is used again at once: only the inode's number is never another socket's.
            const bool same_socket = before && record && before->sock == record->sock && before->inode == record->inode;
            if (looked && same_socket) return Look::settled;
        }
        return Look::unsettled;
    }

    void tell(RowSink& rows, std::string text, Gva where) {
        rows.diagnostic({Severity::warning, std::string(query_.table), std::move(text), where.value, {}});
    }

    // What no process holds.
    WalkEnd rest(WalkEnd end) {
        Deadline deadline(context_.budget.time);
        // What has left the tables of a running guest since is closed, and its memory may be something else's.
        std::unordered_set<Gva> still;
        if (runs_) {
            for (const TabledSocket& socket : look_at_tables().sockets) still.insert(socket.sock);
        }
        for (const TabledSocket& socket : sockets_) {
            if (held_.contains(socket.sock) || (runs_ && !still.contains(socket.sock))) continue;
            if (deadline.passed()) return WalkEnd::budget;
            const auto record = reader_.read(socket.sock, socket.from_tcp_table);
            if (!record) {
                warnings_.tell("a socket of the kernel's tables cannot be read", socket.sock);
                continue;
            }
            // One that is held by a process was skipped there, too.
            if (wanted_inode_ && record->inode != static_cast<std::uint64_t>(*wanted_inode_)) continue;
            if (!visit_(*record, {std::nullopt, std::nullopt, true, true}, sink_)) return WalkEnd::stopped;
        }
        return end;
    }

    SocketReader& reader_;
    OpenFiles open_files_;
    QueryContext& context_;
    RowSink& sink_;
    const SocketQuery& query_;
    SocketVisitor visit_;
    Warnings warnings_;
    std::optional<std::int64_t> wanted_fd_, wanted_inode_;
    bool of_processes_only_;
    bool runs_;
    bool tables_known_ = false;
    Deadline looks_;  // for looking at the tables again
    std::vector<TabledSocket> sockets_;
    std::unordered_set<Gva> tabled_;
    std::vector<Gva> of_this_process_;
    std::unordered_set<Gva> held_;  // by processes whose rows were passed on
};

}  // namespace

std::optional<std::string> found_in(const SocketHolder& holder) {
    if (!holder.tables_known) return std::nullopt;
    if (!holder.pid) return "hash";
    return holder.in_table ? "file,hash" : "file";
}

Result<WalkReport> for_each_socket(LinuxGuest& guest, QueryContext& context, RowSink& sink, const SocketQuery& query,
                                   SocketVisitor visit) {
    const auto reader = VITRINE_TRY(SocketReader::open(guest, context.budget));
    const Members* files = VITRINE_TRY(guest.members(linux_os::kOpenFileNeeds));
    return SocketWalk(*reader, *files, context, sink, query, visit).run();
}

}  // namespace vitrine::tables
