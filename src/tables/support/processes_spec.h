// The columns of the table `processes`, its examples and what holds of it.
#pragma once

#include <array>

#include "vitrine/query/table.h"

namespace vitrine::processes_table {

enum : std::size_t {
    kPid,
    kName,
    kPath,
    kCmdline,
    kState,
    kCwd,
    kRoot,
    kUid,
    kGid,
    kEuid,
    kEgid,
    kSuid,
    kSgid,
    kOnDisk,
    kWired,
    kResident,
    kTotal,
    kUserTime,
    kSystemTime,
    kDiskRead,
    kDiskWritten,
    kStartTime,
    kParent,
    kPgroup,
    kThreads,
    kNice,
    kControlGroup,
    kComm,
    kSession,
    kKernelThread,
    kNamespacePids,
    kStartNs,
    kFlags,
    kTaskAddress,
    kMmAddress,
    kColumns
};

constexpr auto kSpec = std::to_array<Column>({
    index({"pid", ColumnType::integer, "process id in the initial pid namespace"}),
    {"name", ColumnType::text, "name as /proc/PID/comm shows it; kernel threads have their full name"},
    {"path", ColumnType::text, "path of the executable, without \" (deleted)\"; NULL for kernel threads"},
    {"cmdline", ColumnType::text, "arguments, separated by spaces; NULL when paged out or none"},
    {"state", ColumnType::text, "R S D T t X Z P I, as /proc/PID/stat"},
    {"cwd", ColumnType::text, "current working directory"},
    {"root", ColumnType::text, "root directory"},
    {"uid", ColumnType::integer, "real user id"},
    {"gid", ColumnType::integer, "real group id"},
    {"euid", ColumnType::integer, "effective user id"},
    {"egid", ColumnType::integer, "effective group id"},
    {"suid", ColumnType::integer, "saved user id"},
    {"sgid", ColumnType::integer, "saved group id"},
    {"on_disk", ColumnType::integer, "1: the executable is still linked; 0: deleted or never linked; NULL: unknown"},
    {"wired_size", ColumnType::integer, "memory locked by mlock(); NULL for kernel threads and zombies", Unit::bytes},
    {"resident_size", ColumnType::integer, "resident memory (the shared part of the kernel's per-CPU counters)",
     Unit::bytes},
    {"total_size", ColumnType::integer, "virtual memory", Unit::bytes},
    {"user_time", ColumnType::integer, "processor time in user mode, of all threads, ended ones too",
     Unit::milliseconds},
    {"system_time", ColumnType::integer, "processor time in the kernel, likewise", Unit::milliseconds},
    {"disk_bytes_read", ColumnType::integer, "read from storage, of all threads", Unit::bytes},
    {"disk_bytes_written", ColumnType::integer, "written to storage, of all threads, without what was cancelled",
     Unit::bytes},
    {"start_time", ColumnType::integer, "start, by the guest's clock", Unit::epoch_seconds},
    {"parent", ColumnType::integer, "process id of the parent"},
    {"pgroup", ColumnType::integer, "process group id"},
    {"threads", ColumnType::integer, "number of threads"},
    {"nice", ColumnType::integer, "nice value, -20 to 19"},
    {"cgroup_path", ColumnType::text, "control group in the unified hierarchy, from its root on"},
    {"comm", ColumnType::text, "task_struct.comm, at most 15 bytes"},
    {"session", ColumnType::integer, "session id"},
    {"kernel_thread", ColumnType::boolean, "1: runs in the kernel only"},
    {"namespace_pids", ColumnType::text,
     "process ids from the initial pid namespace to the process's own, separated by spaces (NSpid)"},
    {"start_ns", ColumnType::integer, "start, since the guest's boot", Unit::nanoseconds},
    {"flags", ColumnType::address, "task_struct.flags (PF_*)"},
    {"task", ColumnType::address, "address of struct task_struct"},
    {"mm", ColumnType::address, "address of struct mm_struct; NULL for kernel threads and zombies"},
});
static_assert(kSpec.size() == kColumns);

constexpr auto kExamples = std::to_array<std::string_view>({
    "vitrine ps qemu:web1",
    "vitrine ps qemu:web1 --format json | jq '.[] | select(.on_disk == 0)'",
});

constexpr auto kQueries = std::to_array<std::string_view>({
    "SELECT pid, name, cmdline FROM processes WHERE on_disk = 0",
    "SELECT p.name AS parent, count(*) AS children FROM processes c JOIN processes p ON p.pid = c.parent GROUP BY "
    "p.pid",
    "SELECT pid, name, user_time + system_time AS time FROM processes ORDER BY time DESC LIMIT 10",
});

constexpr auto kInvariants = std::to_array<Invariant>({
    {"a process id once", "SELECT pid FROM processes GROUP BY pid HAVING count(*) > 1"},
    {"every parent exists, or is the idle task",
     "SELECT pid, parent FROM processes WHERE parent <> 0 AND parent NOT IN (SELECT pid FROM processes)"},
    {"kernel threads have no user memory", "SELECT pid FROM processes WHERE kernel_thread = 1 AND mm IS NOT NULL"},
    {"as many threads as the process counts",
     "SELECT p.pid FROM processes p WHERE p.state <> 'Z' AND p.threads <> "
     "(SELECT count(*) FROM process_threads t WHERE t.pid = p.pid)"},
});

}  // namespace vitrine::processes_table
