// The walk behind every table whose rows belong to a process: each process once, or only the one that is asked for; what
// a process gave is passed on when it is known that it had not ended, or become another program, while it was read.
//
//   return for_each_process(guest, context, sink, kPid, [&](const TaskKey& key, const TaskView& task, RowSink& rows) {
//       ... rows.row(...), rows.diagnostic(...)
//       return true;              // false: stop
//   });
#pragma once

#include "os/linux/task_view.h"
#include "tables/row.h"
#include "tables/support/warnings.h"
#include "vitrine/base/function_ref.h"

namespace vitrine::tables {

using ProcessVisitor = FunctionRef<bool(const TaskKey&, const linux_os::TaskView&, RowSink&)>;
// What `visit` gave of the process that it was last called for was passed on; it is not called for one whose rows were dropped.
using ProcessKept = FunctionRef<void()>;
inline constexpr auto nothing_to_do = [] {};

// `pid_column`: the column that holds the process id; context.wanted_integer(pid_column) selects one. `visit` may be
// called again for a process that changed meanwhile: what it gave before is then dropped (but for a process with more
// than 16,384 rows, which is read once). Of a process that cannot be read there is a diagnostic. The walk is bounded by
// context.budget, time included.
Result<WalkReport> for_each_process(LinuxGuest& guest, QueryContext& context, RowSink& sink, std::size_t pid_column,
                                    std::string_view table, ProcessVisitor visit, ProcessKept kept = nothing_to_do);

}  // namespace vitrine::tables
