// Open files: one row per file descriptor of each process, as /proc/PID/fd and /proc/PID/fdinfo show them.
#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "os/linux/object_copies.h"
#include "os/linux/open_files.h"
#include "os/linux/path.h"
#include "tables/support/file_text.h"
#include "tables/support/open_files_spec.h"
#include "tables/support/process_walk.h"
#include "tables/support/shared_texts.h"

namespace vitrine {
namespace {

using namespace linux_os;
using tables::address;
using tables::set_text;

using namespace open_files_table;

constexpr std::string_view kTable = "process_open_files";

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
// Alternative of kNeedReferences: file_ref_t (6.13 and later) is 0 for one reference.
constexpr std::uint8_t kCountsFromZero = 1;

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

constexpr auto kOfInode = std::to_array<std::size_t>(
    {kNeedMode, kNeedUid, kNeedGid, kNeedSize, kNeedLinks, kNeedInode, kNeedRdev, kNeedInodeSb});
constexpr auto kOfFile = std::to_array<std::size_t>(
    {kNeedFlags, kNeedPosition, kNeedReferences, kNeedOperations, kNeedFileInode, kNeedMount, kNeedDentry});
constexpr std::size_t kMostBytes = 4096;   // of one object
constexpr std::size_t kReadTogether = 64;  // files

class RowMaker {
public:
    RowMaker(LinuxGuest& guest, QueryContext& context, const Members& open, const Members& details,
             const Members& special)
        : layout_(guest.layout()),
          context_(context),
          open_files_(OpenFiles::of_guest(guest, open)),
          members_(details),
          read_(guest.space(), details),
          paths_(guest.space(), guest.layout(), &special),
          files_(bytes_for(details, kOfFile, kMostBytes)),
          inodes_(bytes_for(details, kOfInode, kMostBytes)),
          deadline_(context.budget.time) {}

    bool process(const TaskKey& key, const TaskView& task, RowSink& rows) {
        const OpenFileList list = open_files_.of_task(task, context_.budget);
        file_systems_.clear();
        for (std::size_t first = 0; first < list.files.size(); first += kReadTogether) {
            const auto rest = std::span(list.files).subspan(first);
            if (!some(key, rest.first(std::min(rest.size(), kReadTogether)), rows)) return false;
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
    // What the rows say of a superblock.
    struct FileSystem {
        Gva superblock;
        std::optional<std::uint32_t> device;
        std::string type;
    };

    static void tell(RowSink& rows, const TaskKey& key, const std::string& what, Gva where = {}) {
        rows.diagnostic(
            {Severity::warning, std::string(kTable), fmt::format("pid {}: {}", key.tgid, what), where.value, {}});
    }

    bool some(const TaskKey& key, std::span<const OpenFile> open, RowSink& rows) {
        addresses_.clear();
        for (const OpenFile& each : open) addresses_.push_back(each.file);
        files_.read(read_.space(), addresses_);
        for (std::size_t i = 0; i < open.size(); ++i)
            addresses_[i] = files_[i].pointer(members_, kNeedFileInode).value_or(Gva{});
        inodes_.read(read_.space(), addresses_);
        for (std::size_t i = 0; i < open.size(); ++i) {
            if (deadline_.passed()) {
                out_of_time_ = true;
                tell(rows, key, fmt::format("out of time after descriptor {}", open[i].fd), open[i].file);
                return false;
            }
            row_[kPid] = std::int64_t{key.tgid};
            row_[kFd] = std::int64_t{open[i].fd};
            fill(key, open[i], i, rows);
            if (!rows.row(row_)) return false;
        }
        return true;
    }

    void fill(const TaskKey& key, const OpenFile& open, std::size_t index, RowSink& rows) {
        row_[kFile] = address(open.file);
        row_[kCloseOnExec] = truth(open.close_on_exec);
        row_[kAllocated] = truth(open.allocated);
        file(open, files_[index]);
        of_inode(inodes_[index]);
        row_[kDeleted] = Value();
        if (context_.uses(kPath) || context_.uses(kDeleted)) path(key, open, rows);
    }

    static Value truth(std::optional<bool> value) { return value ? Value(std::int64_t{*value ? 1 : 0}) : Value(); }
    static Value pointer(std::optional<Gva> value) { return value ? address(*value) : Value(); }

    void file(const OpenFile& open, const ObjectCopy& copy) {
        constexpr std::uint32_t kCloexec = 02000000;
        if (const auto flags = copy.number(members_, kNeedFlags)) {
            // Of the descriptor, not of the file: two descriptors of one file may differ (seq_show() in fs/proc/fd.c).
            auto shown = static_cast<std::uint32_t>(*flags);
            if (open.close_on_exec) shown = *open.close_on_exec ? shown | kCloexec : shown & ~kCloexec;
            set_text(row_[kFlags], flags_.of(shown, [&] { return tables::open_flags_text(shown); }));
        } else {
            row_[kFlags] = Value();
        }
        row_[kPosition] = tables::integer(copy.signed_number(members_, kNeedPosition));
        auto count = copy.signed_number(members_, kNeedReferences);
        if (count && members_.slot(kNeedReferences).alternative == kCountsFromZero) *count += *count >= 0 ? 1 : 0;
        row_[kReferences] = tables::integer(count);
        row_[kOperations] = pointer(copy.pointer(members_, kNeedOperations));
        row_[kDentryAddress] = pointer(copy.pointer(members_, kNeedDentry));
        row_[kMountId] = Value();
        const Gva vfsmount = copy.pointer(members_, kNeedMount).value_or(Gva{});
        if (!vfsmount.is_null() && layout_.has(FieldId::mount_mnt)) {
            const Gva mount = vfsmount.wrap_minus(layout_.at(FieldId::mount_mnt));
            row_[kMountId] = tables::integer(read_.signed_number(mount, kNeedMountId));
        }
    }

    // Of no inode, an empty copy: then all of it is NULL.
    void of_inode(const ObjectCopy& copy) {
        row_[kInodeAddress] = copy.address().is_null() ? Value() : address(copy.address());
        const auto mode = copy.number(members_, kNeedMode);
        const auto bits = static_cast<std::uint32_t>(mode.value_or(0));
        if (mode) set_text(row_[kMode], modes_.of(bits, [&] { return tables::permissions_text(bits); }));
        else row_[kMode] = Value();
        row_[kUid] = tables::integer(copy.number(members_, kNeedUid));
        row_[kGid] = tables::integer(copy.number(members_, kNeedGid));
        row_[kSize] = tables::integer(copy.signed_number(members_, kNeedSize));
        row_[kLinks] = tables::integer(copy.number(members_, kNeedLinks));
        row_[kInode] = tables::integer(copy.number(members_, kNeedInode));
        const FileSystem& of = file_system(copy.pointer(members_, kNeedInodeSb).value_or(Gva{}));
        device(of.device, row_[kDevice]);
        if (of.type.empty()) row_[kFsType] = Value();
        else set_text(row_[kFsType], of.type);
        const auto kind = tables::file_kind(bits);
        // What has no kind (until 6.15), or is a regular file to the kernel only.
        if (of.type == "anon_inodefs" || of.type == "pidfs") set_text(row_[kType], "anon_inode");
        else if (kind) set_text(row_[kType], *kind);
        else row_[kType] = Value();
        const bool is_device = kind == "chr" || kind == "blk";
        device(is_device ? copy.number(members_, kNeedRdev) : std::nullopt, row_[kSpecialDevice]);
    }

    void device(std::optional<std::uint64_t> number, Value& to) {
        if (!number) {
            to = Value();
            return;
        }
        const auto device = static_cast<std::uint32_t>(*number);
        set_text(to, devices_.of(device, [&] { return tables::device_text(device); }));
    }

    // A process has few of them; they are read anew for each.
    const FileSystem& file_system(Gva superblock) {
        for (const FileSystem& known : file_systems_) {
            if (known.superblock == superblock) return known;
        }
        constexpr std::size_t kMost = 16;
        if (file_systems_.size() == kMost) file_systems_.clear();
        FileSystem& of = file_systems_.emplace_back(FileSystem{superblock, {}, {}});
        if (superblock.is_null()) return of;
        if (const auto device = read_.number(superblock, kNeedDevice)) of.device = static_cast<std::uint32_t>(*device);
        const auto type = read_.target(superblock, kNeedFsType);
        const auto name = type ? read_.target(*type, kNeedFsName) : std::nullopt;
        if (!name) return of;
        if (auto text = read_.space().read_c_string(*name, 64)) of.type = std::move(text->bytes);
        return of;
    }

    void path(const TaskKey& key, const OpenFile& open, RowSink& rows) {
        const auto path = paths_.of_file(open.file);
        if (!path) {
            row_[kPath] = Value();
            tell(rows, key, fmt::format("descriptor {}: path: {}", open.fd, path.error().to_string()), open.file);
            return;
        }
        row_[kDeleted] = std::int64_t{path->deleted ? 1 : 0};
        set_text(row_[kPath], path->link());
    }

    const Layout& layout_;
    QueryContext& context_;
    OpenFiles open_files_;
    const Members& members_;
    MemberReader read_;
    PathResolver paths_;
    ObjectCopies files_, inodes_;
    std::vector<Gva> addresses_;
    std::vector<FileSystem> file_systems_;  // of this process
    tables::SharedTexts flags_, modes_, devices_;
    Deadline deadline_;
    bool out_of_time_ = false;
    std::array<Value, kColumns> row_;  // the last one
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
