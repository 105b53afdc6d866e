// Open pipes: each descriptor of a pipe or FIFO, with each descriptor at its other end.
#include <array>
#include <span>
#include <unordered_map>

#include <fmt/format.h>

#include "os/linux/open_files.h"
#include "tables/support/process_walk.h"

namespace vitrine {
namespace {

using namespace linux_os;
using tables::address;

constexpr std::string_view kTable = "process_open_pipes";

enum : std::size_t {
    kPid,
    kFd,
    kMode,
    kInode,
    kType,
    kPartnerPid,
    kPartnerFd,
    kPartnerMode,
    kReaders,
    kWriters,
    kBuffers,
    kRingSize,
    kFile,
    kPipe,
    kColumns
};

constexpr auto kSpec = std::to_array<Column>({
    {"pid", ColumnType::integer, "process id in the initial pid namespace"},
    {"fd", ColumnType::integer, "file descriptor"},
    {"mode", ColumnType::text, "r, w or rw: what the descriptor is open for"},
    {"inode", ColumnType::integer, "inode number of the pipe"},
    {"type", ColumnType::text, "anonymous (pipe(2)) or named (a FIFO)"},
    {"partner_pid", ColumnType::integer, "process at the other end; NULL when no process has that open"},
    {"partner_fd", ColumnType::integer, "its file descriptor"},
    {"partner_mode", ColumnType::text, "r, w or rw: what that is open for"},
    {"readers", ColumnType::integer, "open files that read from the pipe, by the kernel's own count"},
    {"writers", ColumnType::integer, "open files that write to the pipe, by the kernel's own count"},
    {"buffers", ColumnType::integer, "buffers that hold data nobody has read yet"},
    {"ring_size", ColumnType::integer, "buffers the pipe has room for"},
    {"file", ColumnType::address, "address of struct file"},
    {"pipe", ColumnType::address, "address of struct pipe_inode_info"},
});
static_assert(kSpec.size() == kColumns);

constexpr auto kExamples = std::to_array<std::string_view>({
    "vitrine table process_open_pipes qemu:web1 --columns pid,fd,mode,partner_pid,partner_fd",
});
constexpr auto kQueries = std::to_array<std::string_view>({
    "SELECT a.name AS writer, b.name AS reader, x.inode FROM process_open_pipes x JOIN processes a USING (pid) "
    "JOIN processes b ON b.pid = x.partner_pid WHERE x.mode = 'w' AND x.pid <> x.partner_pid",
    "SELECT pid, fd, inode FROM process_open_pipes WHERE partner_pid IS NULL",
});
constexpr auto kInvariants = std::to_array<Invariant>({
    {"a pair of ends is listed once",
     "SELECT pid, fd FROM process_open_pipes GROUP BY pid, fd, partner_pid, partner_fd HAVING count(*) > 1"},
    {"each end is its partner's partner",
     "SELECT a.pid, a.fd FROM process_open_pipes a LEFT JOIN process_open_pipes b ON b.pid = a.partner_pid AND "
     "b.fd = a.partner_fd AND b.partner_pid = a.pid AND b.partner_fd = a.fd "
     "WHERE a.partner_pid IS NOT NULL AND b.pid IS NULL"},
    {"who has a descriptor for reading is one of the readers",
     "SELECT pid, fd FROM process_open_pipes WHERE mode LIKE 'r%' AND readers < 1"},
    {"who has a descriptor for writing is one of the writers",
     "SELECT pid, fd FROM process_open_pipes WHERE mode LIKE '%w' AND writers < 1"},
});

enum : std::size_t {
    kNeedFileMode,
    kNeedInode,
    kNeedPipe,
    kNeedSb,
    kNeedFsType,
    kNeedFsName,
    kNeedReaders,
    kNeedWriters,
    kNeedHead,
    kNeedTail,
    kNeedRing
};

constexpr auto kMembers = std::to_array<MemberNeed>({
    {"file", {"f_mode"}, MemberShape::u32},
    {"inode", {"i_ino"}, MemberShape::u64},
    {"inode", {"i_pipe"}, MemberShape::pointer, false},
    {"inode", {"i_sb"}, MemberShape::pointer, false},
    {"super_block", {"s_type"}, MemberShape::pointer, false},
    {"file_system_type", {"name"}, MemberShape::pointer, false},
    {"pipe_inode_info", {"readers"}, MemberShape::u32, false},
    {"pipe_inode_info", {"writers"}, MemberShape::u32, false},
    {"pipe_inode_info", {"head"}, MemberShape::u32, false},
    {"pipe_inode_info", {"tail"}, MemberShape::u32, false},
    {"pipe_inode_info", {"ring_size"}, MemberShape::u32, false},
});
constexpr NeedGroup kNeeds{"pipes", kMembers};

constexpr std::uint8_t kRead = 1, kWrite = 2;  // FMODE_READ, FMODE_WRITE (include/linux/fs.h)

struct End {
    std::int32_t pid = 0;
    std::uint32_t fd = 0;
    std::uint8_t mode = 0;
    Gva file, inode;
};

std::string mode_text(std::uint8_t mode) {
    return std::string((mode & kRead) != 0 ? "r" : "") + ((mode & kWrite) != 0 ? "w" : "");
}

// A reader has writers for partners and the other way round.
bool are_partners(const End& one, const End& other) {
    const bool same = one.pid == other.pid && one.fd == other.fd;
    return !same && (((one.mode & kRead) != 0 && (other.mode & kWrite) != 0) ||
                     ((one.mode & kWrite) != 0 && (other.mode & kRead) != 0));
}

// Takes the ends that the walk passes on, as rows: those of a process that changed meanwhile are not among them.
class Ends final : public RowSink {
public:
    Ends(RowSink& diagnostics, std::size_t most) : diagnostics_(diagnostics), most_(most) {}

    static bool give(RowSink& rows, const End& end) {
        return rows.row(std::array<Value, 5>{std::int64_t{end.pid}, std::int64_t{end.fd}, std::int64_t{end.mode},
                                             address(end.file), address(end.inode)});
    }
    bool row(std::span<const Value> values) override {
        if (all_.size() >= most_) return false;
        all_.push_back({static_cast<std::int32_t>(std::get<std::int64_t>(values[0])),
                        static_cast<std::uint32_t>(std::get<std::int64_t>(values[1])),
                        static_cast<std::uint8_t>(std::get<std::int64_t>(values[2])),
                        Gva{std::get<AddressValue>(values[3]).value}, Gva{std::get<AddressValue>(values[4]).value}});
        return true;
    }
    void diagnostic(Diagnostic diagnostic) override { diagnostics_.diagnostic(std::move(diagnostic)); }
    [[nodiscard]] const std::vector<End>& all() const { return all_; }

private:
    RowSink& diagnostics_;
    std::size_t most_;
    std::vector<End> all_;
};

class Pipes {
public:
    Pipes(LinuxGuest& guest, QueryContext& context, const Members& open, const Members& members)
        : context_(context), open_files_(OpenFiles::of_guest(guest, open)), read_(guest.space(), members) {}

    // Gives each end that the process has open.
    bool collect(const TaskKey& key, const TaskView& task, RowSink& rows) {
        const OpenFileList list = open_files_.of_task(task, context_.budget);
        for (const OpenFile& open : list.files) {
            const auto inode = open_files_.inode(open.file);
            const auto mode = inode ? open_files_.mode(*inode) : std::nullopt;
            if (!mode || !OpenFiles::is_fifo(*mode)) continue;
            const auto access = read_.number(open.file, kNeedFileMode);
            if (!access) continue;
            const auto rights = static_cast<std::uint8_t>(*access & (kRead | kWrite));
            if (!Ends::give(rows, {key.tgid, open.fd, rights, open.file, *inode})) return false;
        }
        if (list.report.end != WalkEnd::complete) {
            rows.diagnostic({Severity::warning,
                             std::string(kTable),
                             fmt::format("pid {}: table of descriptors: {}", key.tgid, to_string(list.report.end)),
                             list.report.last_address,
                             {}});
        }
        return true;
    }

    WalkEnd emit(const std::vector<End>& ends, RowSink& sink) {
        std::unordered_map<std::uint64_t, std::vector<const End*>> by_inode;
        for (const End& end : ends) by_inode[end.inode.value].push_back(&end);
        Deadline deadline(context_.budget.time);
        const auto wanted = context_.wanted_integer(kPid);
        for (const End& end : ends) {
            if (wanted && *wanted != end.pid) continue;
            fill(end);
            bool alone = true;
            for (const End* partner : by_inode[end.inode.value]) {
                // Many ends of one pipe make many pairs: a guest can have more of them than there is time for.
                if (deadline.passed()) return WalkEnd::budget;
                if (!are_partners(end, *partner)) continue;
                alone = false;
                row_[kPartnerPid] = std::int64_t{partner->pid};
                row_[kPartnerFd] = std::int64_t{partner->fd};
                row_[kPartnerMode] = mode_text(partner->mode);
                if (!sink.row(row_)) return WalkEnd::stopped;
            }
            if (alone && !sink.row(row_)) return WalkEnd::stopped;
        }
        return WalkEnd::complete;
    }

private:
    void fill(const End& end) {
        row_.fill(Value());
        row_[kPid] = std::int64_t{end.pid};
        row_[kFd] = std::int64_t{end.fd};
        if (end.mode != 0) row_[kMode] = mode_text(end.mode);
        row_[kFile] = address(end.file);
        row_[kInode] = tables::integer(read_.number(end.inode, kNeedInode));
        if (const auto name = file_system(end.inode))
            row_[kType] = std::string(*name == "pipefs" ? "anonymous" : "named");
        const auto pipe = read_.target(end.inode, kNeedPipe);
        if (!pipe) return;
        row_[kPipe] = address(*pipe);
        row_[kReaders] = tables::integer(read_.number(*pipe, kNeedReaders));
        row_[kWriters] = tables::integer(read_.number(*pipe, kNeedWriters));
        row_[kRingSize] = tables::integer(read_.number(*pipe, kNeedRing));
        const auto head = read_.number(*pipe, kNeedHead);
        const auto tail = read_.number(*pipe, kNeedTail);
        // Both run on without end, and wrap around.
        if (head && tail) row_[kBuffers] = std::int64_t{static_cast<std::uint32_t>(*head - *tail)};
    }

    std::optional<std::string> file_system(Gva inode) {
        const auto sb = read_.target(inode, kNeedSb);
        const auto type = sb ? read_.target(*sb, kNeedFsType) : std::nullopt;
        const auto name = type ? read_.target(*type, kNeedFsName) : std::nullopt;
        if (!name) return std::nullopt;
        auto text = read_.space().read_c_string(*name, 64);
        return text ? std::optional(std::move(text->bytes)) : std::nullopt;
    }

    QueryContext& context_;
    OpenFiles open_files_;
    MemberReader read_;
    std::array<Value, kColumns> row_;
};

// Partners may be of any process: all are walked, whichever is asked for.
Result<WalkReport> generate(LinuxGuest& guest, QueryContext& context, RowSink& sink) {
    const Members* open = VITRINE_TRY(guest.members(kOpenFileNeeds));
    const Members* members = VITRINE_TRY(guest.members(kNeeds));
    Pipes pipes(guest, context, *open, *members);
    Ends ends(sink, context.budget.nodes);
    QueryContext every_process;
    every_process.budget = context.budget;
    WalkReport report = VITRINE_TRY(tables::for_each_process(
        guest, every_process, ends, kPid, kTable,
        [&](const TaskKey& key, const TaskView& task, RowSink& rows) { return pipes.collect(key, task, rows); }));
    if (report.end == WalkEnd::stopped) report.end = WalkEnd::budget;  // more ends than the budget has nodes
    const WalkEnd end = pipes.emit(ends.all(), sink);
    if (end != WalkEnd::complete) report.end = end;
    return report;
}

constexpr auto kNeedGroups = std::to_array<const NeedGroup*>({&kOpenFileNeeds, &kNeeds});
constexpr auto kGenerators = std::to_array<Generator>({{"linux", tables::on_linux<generate>, kNeedGroups}});

}  // namespace

extern const Table table_process_open_pipes;
const Table table_process_open_pipes{
    {kTable, "Pipes that processes have open, with who is at the other end.", kSpec, kExamples, kQueries, kInvariants},
    kGenerators};

}  // namespace vitrine
