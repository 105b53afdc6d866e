// Mappings of every process, as /proc/PID/maps lists them.
#include <array>
#include <string>

#include <fmt/format.h>

#include "os/linux/maple_tree.h"
#include "os/linux/mapping_name.h"
#include "tables/support/process_walk.h"
#include "tables/support/shared_texts.h"

namespace vitrine {
namespace {

using namespace linux_os;
using tables::address;
using tables::integer;
using tables::set_text;

enum : std::size_t {
    kPid,
    kStart,
    kEnd,
    kPermissions,
    kOffset,
    kDevice,
    kInode,
    kPath,
    kPseudo,
    kSize,
    kFlags,
    kFlagsRaw,
    kPageProtection,
    kAnonymous,
    kFile,
    kVma,
    kColumns
};

constexpr auto kSpec = std::to_array<Column>({
    index({"pid", ColumnType::integer, "process id"}),
    {"start", ColumnType::address, "first address"},
    {"end", ColumnType::address, "address behind the last one"},
    {"permissions", ColumnType::text, "r, w, x, then p (private) or s (shared)"},
    {"offset", ColumnType::integer, "where in the file it begins; 0 when it maps none", Unit::bytes},
    {"device", ColumnType::text, "major:minor of the file's device, hexadecimal; 00:00 when it maps none"},
    {"inode", ColumnType::integer, "number of the file's inode; 0 when it maps none"},
    {"path", ColumnType::text, "file, or [heap], [stack], [vdso], [anon:NAME], ...; empty when it has no name"},
    {"pseudo", ColumnType::boolean, "1: path is no file's"},
    {"size", ColumnType::integer, "size", Unit::bytes},
    {"flags", ColumnType::text, "names of the flags (VM_*) without VM_; bits without a name as a number"},
    {"flags_raw", ColumnType::address, "vm_area_struct.vm_flags"},
    {"page_protection", ColumnType::address, "bits that its page-table entries are made with"},
    {"anonymous", ColumnType::boolean, "1: private memory that maps nothing"},
    {"file", ColumnType::address, "address of struct file; NULL when it maps none"},
    {"vma", ColumnType::address, "address of struct vm_area_struct"},
});
static_assert(kSpec.size() == kColumns);

constexpr auto kExamples = std::to_array<std::string_view>({
    "vitrine table process_memory_map qemu:web1",
    "vitrine table process_memory_map qemu:web1 --format json | jq '.[] | select(.permissions | startswith(\"rwx\"))'",
});

constexpr auto kQueries = std::to_array<std::string_view>({
    "SELECT addr(start), addr(\"end\"), permissions, path FROM process_memory_map WHERE pid = 1",
    "SELECT pid, addr(start), size, path FROM process_memory_map WHERE permissions LIKE 'rwx%'",
    "SELECT path, count(DISTINCT pid) AS processes FROM process_memory_map WHERE pseudo = 0 AND path <> '' "
    "GROUP BY path ORDER BY processes DESC",
});

constexpr auto kInvariants = std::to_array<Invariant>({
    {"mappings of one process do not overlap",
     "SELECT a.pid, a.start FROM process_memory_map a JOIN process_memory_map b ON a.pid = b.pid AND a.vma <> b.vma "
     "WHERE NOT addr_lt(b.start, a.start) AND addr_lt(b.start, a.\"end\")"},
    {"a mapping holds whole pages", "SELECT pid, start FROM process_memory_map WHERE size <= 0 OR size % 4096 <> 0"},
    {"a process with mappings has user memory",
     "SELECT m.pid FROM process_memory_map m LEFT JOIN processes p ON p.pid = m.pid AND p.mm IS NOT NULL "
     "WHERE p.pid IS NULL"},
});

class Rows {
public:
    Rows(LinuxGuest& guest, QueryContext& context, const Members& members)
        : guest_(guest), context_(context), names_(guest, members) {}

    bool emit(const TaskKey& key, const TaskView& task, RowSink& rows) {
        const auto mm = task.pointer(FieldId::task_mm);
        if (!mm || mm->is_null()) return true;  // a kernel thread, or a zombie
        pid_ = key.tgid;
        const auto list = list_mappings(guest_, *mm, {left(), context_.budget.time});
        if (!list) {
            warn(rows, list.error().to_string(), *mm);
            return true;
        }
        used_ += list->mappings.size();
        names_.begin(*mm);
        for (const std::string& oddity : list->oddities) warn(rows, oddity, *mm);
        if (list->report.end != WalkEnd::complete) {
            warn(rows, fmt::format("its mappings end early: {}", to_string(list->report.end)),
                 Gva{list->report.last_address});
        }
        for (const Vma& vma : list->mappings) {
            if (!one(vma, rows)) return false;
        }
        const auto last = names_.vsyscall(*mm);
        return !last || one(*last, rows);
    }
    // More mappings than all processes together should have: what a hostile guest gains by one more is cut here.
    [[nodiscard]] bool used_up() const { return left() == 0; }

private:
    [[nodiscard]] std::size_t left() const { return context_.budget.nodes - std::min(used_, context_.budget.nodes); }

    void warn(RowSink& rows, std::string_view what, Gva where) const {
        rows.diagnostic({Severity::warning, {}, fmt::format("pid {}: {}", pid_, what), where.value});
    }

    bool one(const Vma& vma, RowSink& rows) {
        row_[kPid] = std::int64_t{pid_};
        row_[kStart] = address(vma.start);
        row_[kEnd] = address(vma.end);
        set_text(row_[kPermissions], permissions(vma.flags));
        row_[kSize] = integer(std::optional(vma.end - vma.start));
        row_[kFlagsRaw] = address(vma.flags);
        row_[kPageProtection] = vma.page_protection ? address(*vma.page_protection) : Value();
        row_[kAnonymous] = std::int64_t{vma.operations.is_null() ? 1 : 0};
        row_[kVma] = address(vma.address);
        if (context_.uses(kFlags)) flags(vma.flags);
        place(vma);
        row_[kPseudo] = Value();
        if (context_.uses(kPath) || context_.uses(kPseudo)) name(vma, rows);
        return rows.row(row_);
    }

    void place(const Vma& vma) {
        row_[kFile] = vma.file.is_null() ? Value() : address(vma.file);
        if (vma.file.is_null()) {
            row_[kOffset] = row_[kInode] = std::int64_t{0};
            set_text(row_[kDevice], "00:00");
            return;
        }
        row_[kOffset] = row_[kInode] = Value();
        std::uint64_t offset = 0;
        if (!__builtin_mul_overflow(vma.page_offset, kPageSize, &offset))
            row_[kOffset] = integer(std::optional(offset));
        const bool wanted = context_.uses(kDevice) || context_.uses(kInode) || context_.uses(kPseudo);
        const auto file = wanted ? names_.file(vma) : std::nullopt;
        if (!file) {
            row_[kDevice] = Value();
            return;
        }
        set_text(row_[kDevice], devices_.of(file->device, [&] {
            return fmt::format("{:02x}:{:02x}", file->device >> 20, file->device & 0xfffff);
        }));
        row_[kInode] = integer(std::optional(file->inode));
    }

    void name(const Vma& vma, RowSink& rows) {
        const auto text = names_.name(vma);
        if (!text) {
            row_[kPath] = Value();
            warn(rows, fmt::format("the mapping at {:#x}: {}", vma.start, text.error().to_string()), vma.address);
            return;
        }
        // As osquery has it: named, and of no inode.
        if (!std::holds_alternative<std::monostate>(row_[kInode]))
            row_[kPseudo] = std::int64_t{row_[kInode] == Value(std::int64_t{0}) && !text->empty() ? 1 : 0};
        set_text(row_[kPath], *text);
    }

    void flags(std::uint64_t bits) {
        if (!flags_) {
            const auto types = guest_.types();
            if (!types) return;
            flags_.emplace(**types);
        }
        set_text(row_[kFlags], flag_texts_.of(bits, [&] { return flags_->text(bits); }));
    }

    LinuxGuest& guest_;
    QueryContext& context_;
    MappingNames names_;
    std::optional<MappingFlags> flags_;
    tables::SharedTexts flag_texts_, devices_;
    std::array<Value, kColumns> row_;  // the last one
    std::int32_t pid_ = 0;
    std::size_t used_ = 0;
};

Result<WalkReport> generate(LinuxGuest& guest, QueryContext& context, RowSink& sink) {
    Rows rows(guest, context, *VITRINE_TRY(guest.members(kMappingMembers)));
    bool cut = false;
    auto report = tables::for_each_process(guest, context, sink, kPid, "process_memory_map",
                                           [&](const TaskKey& key, const TaskView& task, RowSink& to) {
                                               cut = rows.used_up();
                                               return !cut && rows.emit(key, task, to);
                                           });
    if (report && cut) report->end = WalkEnd::budget;
    return report;
}

constexpr auto kNeeds = std::to_array<const NeedGroup*>({&kMappingMembers, &kMapleTreeMembers});
constexpr auto kGenerators = std::to_array<Generator>({{"linux", tables::on_linux<generate>, kNeeds}});

}  // namespace

extern const Table table_process_memory_map;
const Table table_process_memory_map{
    {"process_memory_map", "Mappings of every process, from its mm_struct.", kSpec, kExamples, kQueries, kInvariants},
    kGenerators};

}  // namespace vitrine
