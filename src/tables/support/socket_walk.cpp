#include "tables/support/socket_walk.h"

#include <unordered_map>

#include <fmt/format.h>

#include "os/linux/open_files.h"
#include "os/linux/socket_tables.h"
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

class SocketWalk {
public:
    SocketWalk(SocketReader& reader, const Members& file_members, QueryContext& context, RowSink& sink,
               const SocketQuery& query, SocketVisitor visit)
        : reader_(reader),
          open_files_(reader.guest().space(), file_members),
          context_(context),
          sink_(sink),
          query_(query),
          visit_(visit),
          warnings_(sink, query.table),
          wanted_fd_(context.wanted_integer(query.fd)),
          wanted_inode_(context.wanted_integer(query.inode)),
          of_processes_only_(context.wanted_integer(query.pid) || wanted_fd_) {}

    Result<WalkReport> run() {
        WalkReport tabled;
        if (!of_processes_only_ || query_.wants_in_table) {
            SocketTables tables = walk_socket_tables(reader_, context_.budget);
            tabled = tables.report;
            for (std::string& problem : tables.problems) warnings_.tell(std::move(problem));
            for (const TabledSocket& socket : tables.sockets) tabled_.emplace(socket.sock, Tabled{});
            sockets_ = std::move(tables.sockets);
            tables_known_ = true;
        }
        WalkReport report = VITRINE_TRY(for_each_process(reader_.guest(), context_, sink_, query_.pid, query_.table,
                                                         [&](const TaskKey& key, const linux_os::TaskView& task,
                                                             RowSink& rows) { return process(key, task, rows); }));
        if (report.end != WalkEnd::stopped && !of_processes_only_) report.end = rest(report.end);
        for (const std::string& problem : reader_.problems()) warnings_.tell(problem);
        if (report.end == WalkEnd::complete) {
            report.end = tabled.end;
            report.last_address = tabled.last_address;
        }
        return report;
    }

private:
    struct Tabled {
        bool held = false;
    };

    bool process(const TaskKey& key, const linux_os::TaskView& task, RowSink& rows) {
        const OpenFileList list = open_files_.of_task(task, context_.budget);
        for (const OpenFile& open : list.files) {
            if (wanted_fd_ && *wanted_fd_ != open.fd) continue;
            const auto socket = reader_.socket_of_file(open.file);
            if (!socket) continue;
            if (wanted_inode_ && reader_.inode_of(*socket) != static_cast<std::uint64_t>(*wanted_inode_)) continue;
            const auto record = reader_.read_socket(*socket);
            if (!record) {
                tell(rows, fmt::format("pid {}: the socket of descriptor {} cannot be read", key.tgid, open.fd),
                     *socket);
                continue;
            }
            const auto known = tabled_.find(record->sock);
            if (known != tabled_.end()) known->second.held = true;
            if (!visit_(*record, {key.tgid, open.fd, known != tabled_.end(), tables_known_}, rows)) return false;
        }
        if (list.report.end != WalkEnd::complete)
            tell(rows, fmt::format("pid {}: the table of descriptors: {}", key.tgid, to_string(list.report.end)),
                 Gva{list.report.last_address});
        return true;
    }

    void tell(RowSink& rows, std::string text, Gva where) {
        rows.diagnostic({Severity::warning, std::string(query_.table), std::move(text), where.value, {}});
    }

    // What no process holds.
    WalkEnd rest(WalkEnd end) {
        Deadline deadline(context_.budget.time);
        for (const TabledSocket& socket : sockets_) {
            if (tabled_.at(socket.sock).held) continue;
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
    bool tables_known_ = false;
    std::vector<TabledSocket> sockets_;
    std::unordered_map<Gva, Tabled> tabled_;
};

}  // namespace

std::optional<std::string> found_in(const SocketHolder& holder) {
    if (!holder.tables_known) return std::nullopt;
    if (!holder.pid) return "hash";
    return holder.in_table ? "file,hash" : "file";
}

Result<WalkReport> for_each_socket(LinuxGuest& guest, QueryContext& context, RowSink& sink, const SocketQuery& query,
                                   SocketVisitor visit) {
    const auto reader = VITRINE_TRY(SocketReader::open(guest));
    const Members* files = VITRINE_TRY(guest.members(linux_os::kOpenFileNeeds));
    return SocketWalk(*reader, *files, context, sink, query, visit).run();
}

}  // namespace vitrine::tables
