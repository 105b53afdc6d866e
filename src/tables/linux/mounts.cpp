// Mounts: one row per mount of every mount namespace that a task is in, as /proc/PID/mountinfo shows them.
#include <array>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>

#include "os/linux/file_system_space.h"
#include "os/linux/mount_namespace.h"
#include "os/linux/mount_view.h"
#include "os/linux/path.h"
#include "os/linux/rb_walk.h"
#include "os/linux/task_view.h"
#include "tables/support/file_text.h"
#include "tables/support/process_walk.h"

namespace vitrine {
namespace {

using namespace linux_os;
using tables::address;

constexpr std::string_view kTable = "mounts";

enum : std::size_t {
    kDevice,
    kDeviceAlias,
    kPath,
    kType,
    kBlocksSize,
    kBlocks,
    kBlocksFree,
    kBlocksAvailable,
    kInodes,
    kInodesFree,
    kFlags,
    kNamespace,
    kPid,
    kMountId,
    kParentId,
    kRoot,
    kOptions,
    kSuperOptions,
    kPropagation,
    kDeviceNumber,
    kMount,
    kSuperBlock,
    kColumns
};

constexpr auto kSpec = std::to_array<Column>({
    {"device", ColumnType::text, "source of the mount: a device, or whatever name it was given"},
    {"device_alias", ColumnType::text, "the block device the file system is on, else the same as device"},
    {"path", ColumnType::text, "mount point, from the root of its mount namespace on"},
    {"type", ColumnType::text, "type of the file system"},
    {"blocks_size", ColumnType::integer, "size of a block", Unit::bytes},
    {"blocks", ColumnType::integer,
     "blocks of the file system; NULL, as the next ones, where the file system keeps that to itself"},
    {"blocks_free", ColumnType::integer, "blocks that are free"},
    {"blocks_available", ColumnType::integer, "blocks that are free for ordinary users"},
    {"inodes", ColumnType::integer, "inodes the file system has room for; 0: no limit"},
    {"inodes_free", ColumnType::integer, "inodes that are free"},
    {"flags", ColumnType::text,
     "options as /proc/mounts shows them; without those of the file system itself, and without idmapped"},
    index({"mount_namespace", ColumnType::integer, "inode number of the mount namespace"}),
    {"pid", ColumnType::integer, "a process in this mount namespace: the first in the kernel's order"},
    {"mount_id", ColumnType::integer, "id of the mount, as in process_open_files"},
    {"parent_id", ColumnType::integer, "id of the mount it is mounted on; its own for a root"},
    {"root", ColumnType::text, "what of the file system is mounted: \"/\" unless it is a part of it (a bind mount)"},
    {"options", ColumnType::text, "options of this mount"},
    {"super_options", ColumnType::text, "options of the file system that all its mounts share, its own ones left out"},
    {"propagation", ColumnType::text, "private, unbindable, or shared:GROUP and master:GROUP"},
    {"device_number", ColumnType::text, "major:minor of the file system, as files in it have it for their device"},
    {"mount", ColumnType::address, "address of struct mount"},
    {"super_block", ColumnType::address, "address of struct super_block"},
});
static_assert(kSpec.size() == kColumns);

constexpr auto kExamples = std::to_array<std::string_view>({
    "vitrine table mounts qemu:web1 --columns mount_namespace,device,path,type,flags",
});
constexpr auto kQueries = std::to_array<std::string_view>({
    "SELECT device, path, type FROM mounts WHERE mount_namespace = "
    "(SELECT mnt_namespace FROM process_namespaces WHERE pid = 1)",
    "SELECT mount_namespace, count(*) AS mounts, min(pid) AS pid FROM mounts GROUP BY mount_namespace",
    "SELECT f.pid, f.fd, f.path, m.device FROM process_open_files f JOIN process_namespaces n USING (pid) "
    "JOIN mounts m ON m.mount_namespace = n.mnt_namespace AND m.mount_id = f.mount_id",
});
constexpr auto kInvariants = std::to_array<Invariant>({
    {"an id is of one mount", "SELECT mount_id FROM mounts GROUP BY mount_id HAVING count(*) > 1"},
    {"a namespace has one root",
     "SELECT mount_namespace FROM mounts WHERE mount_id = parent_id GROUP BY mount_namespace HAVING count(*) <> 1"},
    {"mounts of one file system say the same of it",
     "SELECT super_block FROM mounts GROUP BY super_block HAVING count(DISTINCT device_number) > 1"},
    {"every process's mount namespace is listed",
     "SELECT pid FROM process_namespaces WHERE mnt_namespace IS NOT NULL AND mnt_namespace NOT IN "
     "(SELECT mount_namespace FROM mounts)"},
});

struct Namespace {
    Gva address;
    std::uint32_t number = 0;
    std::int32_t pid = 0;
};

// The mount namespaces of all threads: each may have one of its own.
class NamespaceFinder {
public:
    NamespaceFinder(LinuxGuest& guest, const MountNamespaces& namespaces) : guest_(guest), namespaces_(namespaces) {}

    WalkReport find(QueryContext& context, tables::Warnings& warnings) {
        TaskSnapshot snapshot = guest_.threads(context.budget);
        Deadline deadline(context.budget.time);
        for (const TaskKey& key : snapshot.tasks) {
            if (deadline.passed()) {
                snapshot.report.end = WalkEnd::budget;
                break;
            }
            const auto task = TaskView::read(guest_, key);
            if (!task) continue;  // `processes` tells of it
            const auto proxy = task->pointer(FieldId::task_nsproxy);
            if (!proxy || proxy->is_null() || !proxies_.insert(proxy->value).second) continue;
            const auto ns = namespaces_.of_nsproxy(*proxy);
            const auto number = ns ? namespaces_.number(*ns) : std::nullopt;
            if (!number) {
                warnings.tell(fmt::format("pid {}: its mount namespace cannot be read", key.tgid), *proxy);
            } else if (seen_.insert(ns->value).second) {
                found_.push_back({*ns, *number, key.tgid});
            }
        }
        return snapshot.report;
    }
    [[nodiscard]] const std::vector<Namespace>& found() const { return found_; }

private:
    LinuxGuest& guest_;
    const MountNamespaces& namespaces_;
    std::unordered_set<std::uint64_t> proxies_, seen_;
    std::vector<Namespace> found_;
};

class RowMaker {
public:
    RowMaker(LinuxGuest& guest, QueryContext& context, RowSink& sink, tables::Warnings& warnings,
             const Members& members, const Members& special)
        : context_(context),
          sink_(sink),
          warnings_(warnings),
          mounts_(guest.space(), guest.layout(), members),
          paths_(guest.space(), guest.layout(), &special) {}

    bool emit(const Namespace& ns, Gva mount, const FileSystemSpaces* spaces) {
        const MountView view = mounts_.read(mount);
        row_.fill(Value());
        row_[kNamespace] = std::int64_t{ns.number};
        row_[kPid] = std::int64_t{ns.pid};
        row_[kMount] = address(mount);
        fill(view);
        places(view, mount);
        if (!view.super_block.is_null()) {
            row_[kSuperBlock] = address(view.super_block);
            if (spaces != nullptr) space(spaces->of(view.super_block));
        }
        return sink_.row(row_);
    }

private:
    static Value text(const std::optional<std::string>& value) { return value ? Value(*value) : Value(); }

    void fill(const MountView& view) {
        row_[kDevice] = text(view.device);
        row_[kDeviceAlias] = view.block_device ? Value("/dev/" + *view.block_device) : row_[kDevice];
        row_[kType] = text(view.fs_type);
        row_[kFlags] = text(view.flags);
        row_[kMountId] = tables::integer(view.id);
        row_[kParentId] = tables::integer(view.parent_id);
        row_[kOptions] = text(view.options);
        row_[kSuperOptions] = text(view.super_options);
        row_[kPropagation] = text(view.propagation);
        if (view.device_number) row_[kDeviceNumber] = tables::device_text(*view.device_number);
    }

    void places(const MountView& view, Gva mount) {
        if (view.root.is_null() || view.vfsmount.is_null()) return;
        if (context_.uses(kPath)) {
            auto path = paths_.of(view.vfsmount, view.root);
            if (path) row_[kPath] = std::move(path->text);
            else warnings_.tell("path of a mount: " + path.error().to_string(), mount);
        }
        if (context_.uses(kRoot)) {
            auto root = paths_.inside_file_system(view.root);
            if (root) row_[kRoot] = root->deleted ? root->text + "//deleted" : std::move(root->text);
            else warnings_.tell("root of a mount: " + root.error().to_string(), mount);
        }
    }

    void space(const FileSystemSpace& space) {
        row_[kBlocksSize] = tables::integer(space.block_size);
        row_[kBlocks] = tables::integer(space.blocks);
        row_[kBlocksFree] = row_[kBlocksAvailable] = tables::integer(space.blocks_free);
        row_[kInodes] = tables::integer(space.inodes);
        row_[kInodesFree] = tables::integer(space.inodes_free);
    }

    QueryContext& context_;
    RowSink& sink_;
    tables::Warnings& warnings_;
    MountReader mounts_;
    PathResolver paths_;
    std::array<Value, kColumns> row_;
};

bool wants_space(const QueryContext& context) {
    for (std::size_t column = kBlocksSize; column <= kInodesFree; ++column) {
        if (context.uses(column)) return true;
    }
    return false;
}

Result<WalkReport> generate(LinuxGuest& guest, QueryContext& context, RowSink& sink) {
    const Members* in_namespace = VITRINE_TRY(guest.members(kMountNamespaceNeeds));
    const Members* tree = VITRINE_TRY(guest.members(kRbNeeds));
    const Members* members = VITRINE_TRY(guest.members(kMountNeeds));
    const Members* special = VITRINE_TRY(guest.members(kSpecialPathNeeds));
    const Members* space = VITRINE_TRY(guest.members(kFileSystemSpaceNeeds));
    tables::Warnings warnings(sink, kTable);
    const MountNamespaces namespaces(guest.space(), *in_namespace, *tree);
    NamespaceFinder finder(guest, namespaces);
    WalkReport report = finder.find(context, warnings);
    std::optional<FileSystemSpaces> spaces;
    if (wants_space(context)) spaces.emplace(guest, *space);
    RowMaker maker(guest, context, sink, warnings, *members, *special);
    const auto wanted = context.wanted_integer(kNamespace);
    Deadline deadline(context.budget.time);
    for (const Namespace& ns : finder.found()) {
        if (wanted && *wanted != std::int64_t{ns.number}) continue;
        if (deadline.passed_now()) {
            report.end = WalkEnd::budget;
            break;
        }
        const MountList list = namespaces.mounts_of(ns.address, context.budget);
        if (list.report.end != WalkEnd::complete) {
            report.end = list.report.end;
            report.last_address = list.report.last_address;
            warnings.tell(fmt::format("mount namespace {}: {}", ns.number, to_string(list.report.end)),
                          Gva{list.report.last_address});
        }
        for (const Gva mount : list.mounts) {
            if (deadline.passed()) report.end = WalkEnd::budget;
            else if (!maker.emit(ns, mount, spaces ? &*spaces : nullptr)) report.end = WalkEnd::stopped;
            else continue;
            return report;
        }
    }
    return report;
}

constexpr auto kNeedGroups = std::to_array<const NeedGroup*>(
    {&kMountNamespaceNeeds, &kRbNeeds, &kMountNeeds, &kSpecialPathNeeds, &kFileSystemSpaceNeeds});
constexpr auto kGenerators = std::to_array<Generator>({{"linux", tables::on_linux<generate>, kNeedGroups}});

}  // namespace

extern const Table table_mounts;
const Table table_mounts{
    {kTable, "Mounts of all mount namespaces that tasks are in.", kSpec, kExamples, kQueries, kInvariants},
    kGenerators};

}  // namespace vitrine
