// The walk behind the tables of sockets: those that processes have open, once for each descriptor, and those that only the kernel's own
// tables of sockets lead to.
#pragma once

#include "os/linux/socket_record.h"
#include "tables/row.h"
#include "vitrine/base/function_ref.h"

namespace vitrine::tables {

struct SocketHolder {
    std::optional<std::int32_t> pid;  // none: no process has it open
    std::optional<std::uint32_t> fd;
    bool in_table = false;      // one of the kernel's tables of sockets has it
    bool tables_known = false;  // those tables were walked, and what they say is of the same moment
};

// "file", "hash", or both; none where that is not known.
[[nodiscard]] std::optional<std::string> found_in(const SocketHolder& holder);

using SocketVisitor = FunctionRef<bool(const linux_os::SocketRecord&, const SocketHolder&, RowSink&)>;

// Columns by which less can be asked for, and whether in_table matters to the caller where only one process is asked for.
struct SocketQuery {
    std::string_view table;
    std::size_t pid, fd, inode;
    bool wants_in_table = false;
};

// `visit` returns false to stop; it may be called again for a process that changed meanwhile.
Result<WalkReport> for_each_socket(LinuxGuest& guest, QueryContext& context, RowSink& sink, const SocketQuery& query,
                                   SocketVisitor visit);

}  // namespace vitrine::tables
