// Namespaces: one row per process, as /proc/PID/ns shows them.
#include <array>

#include "os/linux/member_reader.h"
#include "tables/support/process_walk.h"

namespace vitrine {
namespace {

using namespace linux_os;
using tables::address;

constexpr std::string_view kTable = "process_namespaces";

enum : std::size_t {
    kPid,
    kCgroup,
    kIpc,
    kMnt,
    kNet,
    kPidNs,
    kUser,
    kUts,
    kTime,
    kPidForChildren,
    kTimeForChildren,
    kNsproxy,
    kColumns
};

constexpr auto kSpec = std::to_array<Column>({
    index({"pid", ColumnType::integer, "process id in the initial pid namespace"}),
    {"cgroup_namespace", ColumnType::integer,
     "inode number of the cgroup namespace; NULL, as the next ones, for a zombie"},
    {"ipc_namespace", ColumnType::integer, "inode number of the ipc namespace"},
    {"mnt_namespace", ColumnType::integer, "inode number of the mount namespace"},
    {"net_namespace", ColumnType::integer, "inode number of the network namespace"},
    {"pid_namespace", ColumnType::integer, "inode number of the pid namespace the process is in"},
    {"user_namespace", ColumnType::integer, "inode number of the user namespace"},
    {"uts_namespace", ColumnType::integer, "inode number of the uts namespace (host name)"},
    {"time_namespace", ColumnType::integer, "inode number of the time namespace"},
    {"pid_for_children_namespace", ColumnType::integer, "pid namespace that children will be in"},
    {"time_for_children_namespace", ColumnType::integer, "time namespace that children will be in"},
    {"nsproxy", ColumnType::address, "address of struct nsproxy; NULL for a zombie"},
});
static_assert(kSpec.size() == kColumns);

constexpr auto kExamples = std::to_array<std::string_view>({
    "vitrine table process_namespaces qemu:web1",
});
constexpr auto kQueries = std::to_array<std::string_view>({
    "SELECT net_namespace, count(*) AS processes FROM process_namespaces GROUP BY net_namespace",
    "SELECT p.pid, p.name FROM processes p JOIN process_namespaces n USING (pid) "
    "WHERE n.mnt_namespace <> (SELECT mnt_namespace FROM process_namespaces WHERE pid = 1)",
});
constexpr auto kInvariants = std::to_array<Invariant>({
    {"a process is listed once", "SELECT pid FROM process_namespaces GROUP BY pid HAVING count(*) > 1"},
    {"who runs has all namespaces the kernel has",
     "SELECT n.pid FROM process_namespaces n JOIN processes p USING (pid) WHERE p.state NOT IN ('Z', 'X') AND "
     "p.threads = 1 AND (n.mnt_namespace IS NULL OR n.user_namespace IS NULL OR n.pid_namespace IS NULL)"},
    {"kernel threads are in the initial user namespace",
     "SELECT n.pid FROM process_namespaces n JOIN processes p USING (pid) WHERE p.kernel_thread = 1 AND "
     "n.user_namespace <> (SELECT user_namespace FROM process_namespaces WHERE pid = 2)"},
});

enum : std::size_t {
    kProxyUts,
    kProxyIpc,
    kProxyMnt,
    kProxyPidForChildren,
    kProxyNet,
    kProxyTime,
    kProxyTimeForChildren,
    kProxyCgroup,
    kUtsInum,
    kIpcInum,
    kMntInum,
    kPidInum,
    kNetInum,
    kTimeInum,
    kCgroupInum,
    kUserInum,
    kCredUser,
    kPidLevel,
    kPidNumbers,
    kUpidNs,
};

constexpr auto kMembers = std::to_array<MemberNeed>({
    {"nsproxy", {"uts_ns"}, MemberShape::pointer, false},
    {"nsproxy", {"ipc_ns"}, MemberShape::pointer, false},
    {"nsproxy", {"mnt_ns"}, MemberShape::pointer, false},
    {"nsproxy", {"pid_ns_for_children"}, MemberShape::pointer, false},
    {"nsproxy", {"net_ns"}, MemberShape::pointer, false},
    {"nsproxy", {"time_ns"}, MemberShape::pointer, false},  // 5.6 and later
    {"nsproxy", {"time_ns_for_children"}, MemberShape::pointer, false},
    {"nsproxy", {"cgroup_ns"}, MemberShape::pointer, false},
    {"uts_namespace", {"ns.inum"}, MemberShape::u32, false},
    {"ipc_namespace", {"ns.inum"}, MemberShape::u32, false},
    {"mnt_namespace", {"ns.inum"}, MemberShape::u32, false},
    {"pid_namespace", {"ns.inum"}, MemberShape::u32, false},
    {"net", {"ns.inum"}, MemberShape::u32, false},
    {"time_namespace", {"ns.inum"}, MemberShape::u32, false},
    {"cgroup_namespace", {"ns.inum"}, MemberShape::u32, false},
    {"user_namespace", {"ns.inum"}, MemberShape::u32, false},
    {"cred", {"user_ns"}, MemberShape::pointer, false},
    {"pid", {"level"}, MemberShape::u32, false},
    {"pid", {"numbers"}, MemberShape::array, false},
    {"upid", {"ns"}, MemberShape::pointer, false},
});
constexpr auto kSizes = std::to_array<std::string_view>({"upid"});
constexpr NeedGroup kNeeds{"namespaces", kMembers, kSizes};

struct OfProxy {
    std::size_t column, member, number;
};
constexpr auto kOfProxy = std::to_array<OfProxy>({
    {kCgroup, kProxyCgroup, kCgroupInum},
    {kIpc, kProxyIpc, kIpcInum},
    {kMnt, kProxyMnt, kMntInum},
    {kNet, kProxyNet, kNetInum},
    {kUts, kProxyUts, kUtsInum},
    {kTime, kProxyTime, kTimeInum},
    {kPidForChildren, kProxyPidForChildren, kPidInum},
    {kTimeForChildren, kProxyTimeForChildren, kTimeInum},
});

using Row = std::array<Value, kColumns>;

Value number_behind(const MemberReader& read, Gva object, std::size_t member, std::size_t number) {
    const auto ns = read.target(object, member);
    return ns ? tables::integer(read.number(*ns, number)) : Value();
}

// task_active_pid_ns() (kernel/pid.c): the innermost one that the process has a number in.
Value own_pid_namespace(const MemberReader& read, Gva pid) {
    constexpr std::uint64_t kDeepest = 32;  // MAX_PID_NS_LEVEL
    const auto level = read.number(pid, kPidLevel);
    if (!level || *level > kDeepest || !read.has(kPidNumbers)) return {};
    const Gva own = read.address(pid, kPidNumbers).wrap_plus(*level * read.members().struct_size(0));
    return number_behind(read, own, kUpidNs, kPidInum);
}

void fill(const TaskView& task, const MemberReader& read, Row& row) {
    if (const auto proxy = task.pointer(FieldId::task_nsproxy); proxy && !proxy->is_null()) {
        row[kNsproxy] = address(*proxy);
        for (const OfProxy& one : kOfProxy) row[one.column] = number_behind(read, *proxy, one.member, one.number);
    }
    if (const auto cred = task.pointer(FieldId::task_real_cred); cred && !cred->is_null())
        row[kUser] = number_behind(read, *cred, kCredUser, kUserInum);
    if (const auto pid = task.pointer(FieldId::task_thread_pid); pid && !pid->is_null())
        row[kPidNs] = own_pid_namespace(read, *pid);
}

Result<WalkReport> generate(LinuxGuest& guest, QueryContext& context, RowSink& sink) {
    const Members* members = VITRINE_TRY(guest.members(kNeeds));
    const MemberReader read(guest.space(), *members);
    return tables::for_each_process(guest, context, sink, kPid, kTable,
                                    [&](const TaskKey& key, const TaskView& task, RowSink& rows) {
                                        Row row;
                                        row[kPid] = std::int64_t{key.tgid};
                                        fill(task, read, row);
                                        return rows.row(row);
                                    });
}

constexpr auto kNeedGroups = std::to_array<const NeedGroup*>({&kNeeds});
constexpr auto kGenerators = std::to_array<Generator>({{"linux", tables::on_linux<generate>, kNeedGroups}});

}  // namespace

extern const Table table_process_namespaces;
const Table table_process_namespaces{
    {kTable, "Namespaces that processes are in, by inode number.", kSpec, kExamples, kQueries, kInvariants},
    kGenerators};

}  // namespace vitrine
