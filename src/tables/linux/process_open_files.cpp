// Open files: one row per file descriptor of each process, as /proc/PID/fd and /proc/PID/fdinfo show them.
#include <array>

#include <fmt/format.h>

#include "os/linux/open_files.h"
#include "os/linux/path.h"
#include "tables/support/file_text.h"
#include "tables/support/process_walk.h"

namespace vitrine {
namespace {

using namespace linux_os;
using tables::address;

constexpr std::string_view kTable = "process_open_files";

enum : std::size_t {
    kPid,
    kFd,
    kPath,
    kDeleted,
    kType,
    kFlags,
    kCloseOnExec,
    kPosition,
    kMode,
    kUid,
    kGid,
    kSize,
    kLinks,
    kInode,
    kDevice,
    kSpecialDevice,
    kMountId,
    kFsType,
    kReferences,
    kAllocated,
    kFile,
    kOperations,
    kDentryAddress,
    kInodeAddress,
    kColumns
};

constexpr auto kSpec = std::to_array<Column>({
    index({"pid", ColumnType::integer, "process id in the initial pid namespace"}),
    {"fd", ColumnType::integer, "file descriptor"},
    {"path", ColumnType::text,
     "what readlink of /proc/PID/fd/FD gives: a path, pipe:[INODE], socket:[INODE], anon_inode:[KIND]; with \" "
     "(deleted)\""},
    {"deleted", ColumnType::boolean, "1: in no directory (any more): unlinked, or a memfd"},
    {"type", ColumnType::text, "regular, directory, symlink, chr, blk, fifo, socket or anon_inode"},
    {"flags", ColumnType::text, "flags of open(2) joined by |, as fdinfo has them"},
    {"close_on_exec", ColumnType::boolean, "1: the descriptor is closed on execve (FD_CLOEXEC)"},
    {"pos", ColumnType::integer, "offset of the next read or write", Unit::bytes},
    {"mode", ColumnType::text, "permission bits of the file, octal"},
    {"uid", ColumnType::integer, "user id of the file's owner"},
    {"gid", ColumnType::integer, "group id of the file"},
    {"size", ColumnType::integer, "size of the file", Unit::bytes},
    {"nlink", ColumnType::integer, "number of directory entries of the file"},
    {"inode", ColumnType::integer, "inode number"},
    {"device", ColumnType::text, "major:minor of the file system the file is in"},
    {"rdev", ColumnType::text, "major:minor of the device that a chr or blk file is; NULL for others"},
    {"mount_id", ColumnType::integer, "mount the file was opened through (mnt_id; 0: one of the kernel's own)"},
    {"fs_type", ColumnType::text, "type of the file system"},
    {"refcount", ColumnType::integer,
     "references to struct file: descriptors that share it, mappings, users in the kernel"},
    {"allocated", ColumnType::boolean,
     "1: the table's bitmap has the descriptor as in use, as it has that of every open file; 0: tampered with"},
    {"file", ColumnType::address, "address of struct file"},
    {"operations", ColumnType::address, "address of struct file_operations"},
    {"dentry", ColumnType::address, "address of struct dentry"},
    {"inode_address", ColumnType::address, "address of struct inode"},
});
static_assert(kSpec.size() == kColumns);

constexpr auto kExamples = std::to_array<std::string_view>({
    "vitrine table process_open_files qemu:web1",
    "vitrine table process_open_files memory.img --columns pid,fd,flags,path",
});
constexpr auto kQueries = std::to_array<std::string_view>({
    "SELECT pid, fd, path, size FROM process_open_files WHERE deleted = 1 AND type = 'regular'",
    "SELECT p.name, f.fd, f.path FROM processes p JOIN process_open_files f USING (pid) WHERE f.path LIKE '/dev/vd%'",
    "SELECT path, count(*) AS users FROM process_open_files GROUP BY path ORDER BY users DESC LIMIT 10",
});
constexpr auto kInvariants = std::to_array<Invariant>({
    {"a descriptor is listed once", "SELECT pid, fd FROM process_open_files GROUP BY pid, fd HAVING count(*) > 1"},
    {"each open file's descriptor is in use", "SELECT pid, fd FROM process_open_files WHERE allocated = 0"},
    {"who has a file open has a row in processes",
     "SELECT pid, fd FROM process_open_files WHERE pid NOT IN (SELECT pid FROM processes)"},
    {"an open file is referred to", "SELECT pid, fd FROM process_open_files WHERE refcount < 1"},
});

enum : std::size_t {
    kNeedMode,
    kNeedUid,
    kNeedGid,
    kNeedSize,
    kNeedLinks,
    kNeedInode,
    kNeedRdev,
    kNeedInodeSb,
    kNeedDevice,
    kNeedFsType,
    kNeedFsName,
    kNeedFlags,
    kNeedPosition,
    kNeedReferences,
    kNeedOperations,
    kNeedFileInode,
    kNeedMount,
    kNeedDentry,
    kNeedMountId,
};
constexpr std::uint8_t kCountsFromZero =
    1;  // alternative of kNeedReferences: file_ref_t (6.13 and later) is 0 for one reference

constexpr auto kMembers = std::to_array<MemberNeed>({
    {"inode", {"i_mode"}, MemberShape::number, false},
    {"inode", {"i_uid"}, MemberShape::u32, false},
    {"inode", {"i_gid"}, MemberShape::u32, false},
    {"inode", {"i_size"}, MemberShape::u64, false},
    {"inode", {"i_nlink"}, MemberShape::u32, false},
    {"inode", {"i_ino"}, MemberShape::u64, false},
    {"inode", {"i_rdev"}, MemberShape::u32, false},
    {"inode", {"i_sb"}, MemberShape::pointer, false},
    {"super_block", {"s_dev"}, MemberShape::u32, false},
    {"super_block", {"s_type"}, MemberShape::pointer, false},
    {"file_system_type", {"name"}, MemberShape::pointer, false},
    {"file", {"f_flags"}, MemberShape::u32, false},
    {"file", {"f_pos"}, MemberShape::u64, false},
    {"file", {"f_count", "f_ref"}, MemberShape::u64, false},
    {"file", {"f_op"}, MemberShape::pointer, false},
    {"file", {"f_inode"}, MemberShape::pointer, false},
    {"file", {"f_path.mnt"}, MemberShape::pointer, false},
    {"file", {"f_path.dentry"}, MemberShape::pointer, false},
    {"mount", {"mnt_id"}, MemberShape::u32, false},
});
constexpr NeedGroup kNeeds{"details of open files", kMembers};

class RowMaker {
public:
    RowMaker(LinuxGuest& guest, QueryContext& context, const Members& open, const Members& details,
             const Members& special)
        : layout_(guest.layout()),
          context_(context),
          open_files_(OpenFiles::of_guest(guest, open)),
          read_(guest.space(), details),
          paths_(guest.space(), guest.layout(), &special),
          deadline_(context.budget.time) {}

    bool process(const TaskKey& key, const TaskView& task, RowSink& rows) {
        const OpenFileList list = open_files_.of_task(task, context_.budget);
        for (const OpenFile& open : list.files) {
            if (deadline_.passed()) {
                out_of_time_ = true;
                tell(rows, key, fmt::format("out of time after descriptor {}", open.fd), open.file);
                return false;
            }
            row_.fill(Value());
            row_[kPid] = std::int64_t{key.tgid};
            row_[kFd] = std::int64_t{open.fd};
            fill(key, open, rows);
            if (!rows.row(row_)) return false;
        }
        if (list.report.end == WalkEnd::budget) {
            tell(rows, key,
                 fmt::format("its table claims room for {} descriptors: not all were looked at", list.claimed));
        } else if (list.report.end != WalkEnd::complete) {
            tell(rows, key, fmt::format("table of descriptors: {}", to_string(list.report.end)),
                 Gva{list.report.last_address});
        }
        return true;
    }
    [[nodiscard]] bool out_of_time() const { return out_of_time_; }

private:
    static void tell(RowSink& rows, const TaskKey& key, const std::string& what, Gva where = {}) {
        rows.diagnostic(
            {Severity::warning, std::string(kTable), fmt::format("pid {}: {}", key.tgid, what), where.value, {}});
    }

    void fill(const TaskKey& key, const OpenFile& open, RowSink& rows) {
        row_[kFile] = address(open.file);
        if (open.close_on_exec) row_[kCloseOnExec] = std::int64_t{*open.close_on_exec ? 1 : 0};
        if (open.allocated) row_[kAllocated] = std::int64_t{*open.allocated ? 1 : 0};
        file(open);
        if (const auto inode = read_.target(open.file, kNeedFileInode)) {
            row_[kInodeAddress] = address(*inode);
            of_inode(*inode);
        }
        if (context_.uses(kPath) || context_.uses(kDeleted)) path(key, open, rows);
    }

    void file(const OpenFile& open) {
        constexpr std::uint32_t kCloexec = 02000000;
        if (const auto flags = read_.number(open.file, kNeedFlags)) {
            // Of the descriptor, not of the file: two descriptors of one file may differ (seq_show() in fs/proc/fd.c).
            auto shown = static_cast<std::uint32_t>(*flags);
            if (open.close_on_exec) shown = *open.close_on_exec ? shown | kCloexec : shown & ~kCloexec;
            row_[kFlags] = tables::open_flags_text(shown);
        }
        row_[kPosition] = tables::integer(read_.signed_number(open.file, kNeedPosition));
        if (auto count = read_.signed_number(open.file, kNeedReferences)) {
            if (read_.members().slot(kNeedReferences).alternative == kCountsFromZero) *count += *count >= 0 ? 1 : 0;
            row_[kReferences] = *count;
        }
        if (const auto operations = read_.pointer(open.file, kNeedOperations)) row_[kOperations] = address(*operations);
        if (const auto dentry = read_.pointer(open.file, kNeedDentry)) row_[kDentryAddress] = address(*dentry);
        const auto vfsmount = read_.target(open.file, kNeedMount);
        if (vfsmount && layout_.has(FieldId::mount_mnt)) {
            const Gva mount = vfsmount->wrap_minus(layout_.at(FieldId::mount_mnt));
            row_[kMountId] = tables::integer(read_.signed_number(mount, kNeedMountId));
        }
    }

    void of_inode(Gva inode) {
        const auto mode = read_.number(inode, kNeedMode);
        const auto bits = static_cast<std::uint32_t>(mode.value_or(0));
        if (mode) row_[kMode] = tables::permissions_text(bits);
        row_[kUid] = tables::integer(read_.number(inode, kNeedUid));
        row_[kGid] = tables::integer(read_.number(inode, kNeedGid));
        row_[kSize] = tables::integer(read_.signed_number(inode, kNeedSize));
        row_[kLinks] = tables::integer(read_.number(inode, kNeedLinks));
        row_[kInode] = tables::integer(read_.number(inode, kNeedInode));
        const std::string fs_type = file_system(inode);
        if (!fs_type.empty()) row_[kFsType] = fs_type;
        const auto kind = tables::file_kind(bits);
        // What has no kind (until 6.15), or is a regular file to the kernel only.
        if (fs_type == "anon_inodefs" || fs_type == "pidfs") row_[kType] = std::string("anon_inode");
        else if (kind) row_[kType] = std::string(*kind);
        if (kind == "chr" || kind == "blk") {
            if (const auto device = read_.number(inode, kNeedRdev))
                row_[kSpecialDevice] = tables::device_text(static_cast<std::uint32_t>(*device));
        }
    }

    std::string file_system(Gva inode) {
        const auto sb = read_.target(inode, kNeedInodeSb);
        if (!sb) return {};
        if (const auto device = read_.number(*sb, kNeedDevice))
            row_[kDevice] = tables::device_text(static_cast<std::uint32_t>(*device));
        const auto type = read_.target(*sb, kNeedFsType);
        const auto name = type ? read_.target(*type, kNeedFsName) : std::nullopt;
        if (!name) return {};
        auto text = read_.space().read_c_string(*name, 64);
        return text ? std::move(text->bytes) : std::string();
    }

    void path(const TaskKey& key, const OpenFile& open, RowSink& rows) {
        const auto path = paths_.of_file(open.file);
        if (!path) {
            tell(rows, key, fmt::format("descriptor {}: path: {}", open.fd, path.error().to_string()), open.file);
            return;
        }
        row_[kDeleted] = std::int64_t{path->deleted ? 1 : 0};
        row_[kPath] = path->link();
    }

    const Layout& layout_;
    QueryContext& context_;
    OpenFiles open_files_;
    MemberReader read_;
    PathResolver paths_;
    Deadline deadline_;
    bool out_of_time_ = false;
    std::array<Value, kColumns> row_;
};

Result<WalkReport> generate(LinuxGuest& guest, QueryContext& context, RowSink& sink) {
    const Members* open = VITRINE_TRY(guest.members(kOpenFileNeeds));
    const Members* details = VITRINE_TRY(guest.members(kNeeds));
    const Members* special = VITRINE_TRY(guest.members(kSpecialPathNeeds));
    RowMaker maker(guest, context, *open, *details, *special);
    WalkReport report = VITRINE_TRY(tables::for_each_process(
        guest, context, sink, kPid, kTable,
        [&](const TaskKey& key, const TaskView& task, RowSink& rows) { return maker.process(key, task, rows); }));
    if (report.end == WalkEnd::stopped && maker.out_of_time()) report.end = WalkEnd::budget;
    return report;
}

constexpr auto kNeedGroups = std::to_array<const NeedGroup*>({&kOpenFileNeeds, &kNeeds, &kSpecialPathNeeds});
constexpr auto kGenerators = std::to_array<Generator>({{"linux", tables::on_linux<generate>, kNeedGroups}});

}  // namespace

extern const Table table_process_open_files;
const Table table_process_open_files{
    {kTable, "Files that processes have open, by descriptor.", kSpec, kExamples, kQueries, kInvariants},
    kGenerators};

}  // namespace vitrine
