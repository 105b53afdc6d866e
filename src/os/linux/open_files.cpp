#include "os/linux/open_files.h"

#include <algorithm>
#include <array>

#include "os/linux/past_caches.h"

namespace vitrine::linux_os {
namespace {

enum : std::size_t { kFdt, kMaxFds, kFd, kOpenFds, kCloseOnExec, kInode, kMode };

constexpr auto kMembers = std::to_array<MemberNeed>({
    {"files_struct", {"fdt"}, MemberShape::pointer},
    {"fdtable", {"max_fds"}, MemberShape::u32},
    {"fdtable", {"fd"}, MemberShape::pointer},
    {"fdtable", {"open_fds"}, MemberShape::pointer, false},
    {"fdtable", {"close_on_exec"}, MemberShape::pointer, false},
    {"file", {"f_inode"}, MemberShape::pointer, false},
    {"inode", {"i_mode"}, MemberShape::number, false},
});

constexpr unsigned kAttempts = 4;
// A table may claim 2^32 descriptors. fs.nr_open is 2^20 unless somebody raised it; four times that is read in milliseconds.
constexpr std::uint32_t kMostSlots = 1u << 22;
constexpr std::uint32_t kPerPiece = kPageSize / 8;  // pointers read at once: a page of them
constexpr std::size_t kBitmapBytes = kPerPiece / 8;

using Bitmap = std::array<std::byte, kBitmapBytes>;

bool bit(const Bitmap& bitmap, std::uint32_t index) {
    return (static_cast<unsigned>(bitmap[index / 8]) >> index % 8 & 1) != 0;
}

// One page of pointers with the bits that go with them.
struct Piece {
    std::array<std::byte, kPageSize> pointers;
    Bitmap open, close;
    bool has_open = false, has_close = false;
};

}  // namespace

constinit const NeedGroup kOpenFileNeeds{"open files", kMembers};

struct OpenFiles::Table {
    std::uint32_t slots = 0;
    Gva files, open, close;
};

OpenFiles OpenFiles::of_guest(const LinuxGuest& guest, const Members& members) {
    return {guest.space(), members, past_caches(guest), [&guest] { guest.new_generation(); }};
}

std::optional<Gva> OpenFiles::inode(Gva file) const { return read_.target(file, kInode); }

std::optional<std::uint32_t> OpenFiles::mode(Gva inode) const {
    const auto mode = read_.number(inode, kMode);
    return mode ? std::optional(static_cast<std::uint32_t>(*mode)) : std::nullopt;
}

std::optional<OpenFiles::Table> OpenFiles::read_table(Gva at) const {
    const auto slots = read_.number(at, kMaxFds);
    const auto files = read_.pointer(at, kFd);
    if (!slots || !files) return std::nullopt;
    return Table{static_cast<std::uint32_t>(*slots), *files, read_.pointer(at, kOpenFds).value_or(Gva{}),
                 read_.pointer(at, kCloseOnExec).value_or(Gva{})};
}

void OpenFiles::read_slots(const Table& table, WalkBudget budget, OpenFileList& list) const {
    const std::uint32_t slots = std::min(table.slots, kMostSlots);
    if (slots < table.slots) list.report.end = WalkEnd::budget;
    Deadline deadline(budget.time);
    Piece piece;
    for (std::uint32_t first = 0; first < slots; first += kPerPiece) {
        if (deadline.passed_now()) {
            list.report.end = WalkEnd::budget;
            return;
        }
        const std::uint32_t count = std::min(kPerPiece, slots - first);
        const std::size_t bits = (count + 7) / 8;
        std::array<VirtualReadOp, 3> ops{
            VirtualReadOp{table.files.wrap_plus(std::uint64_t{first} * 8), std::span(piece.pointers).first(count * 8)},
            VirtualReadOp{table.open.wrap_plus(first / 8), std::span(piece.open).first(bits)},
            VirtualReadOp{table.close.wrap_plus(first / 8), std::span(piece.close).first(bits)}};
        if (!read_.space().read_batch(ops) || !ops[0].ok) {
            list.report.end = WalkEnd::fault;
            list.report.last_address = ops[0].address.value;
            continue;
        }
        piece.has_open = ops[1].ok && !table.open.is_null();
        piece.has_close = ops[2].ok && !table.close.is_null();
        for (std::uint32_t i = 0; i < count; ++i) {
            const Gva file{load<std::uint64_t>(piece.pointers.data() + std::size_t{i} * 8)};
            if (file.is_null()) continue;
            if (list.files.size() >= budget.nodes) {
                list.report.end = WalkEnd::budget;
                return;
            }
            OpenFile& open = list.files.emplace_back(OpenFile{first + i, file, std::nullopt, std::nullopt});
            if (piece.has_open) open.allocated = bit(piece.open, i);
            if (piece.has_close) open.close_on_exec = bit(piece.close, i);
        }
    }
}

OpenFileList OpenFiles::of_task(const TaskView& task, WalkBudget budget) const {
    OpenFileList list;
    const auto files = task.pointer(FieldId::task_files);
    if (!files) list.report.end = WalkEnd::fault;
    return files && !files->is_null() ? of(*files, budget) : list;
}

OpenFileList OpenFiles::of(Gva files_struct, WalkBudget budget) const {
    OpenFileList list;
    for (unsigned attempt = 0;; ++attempt) {
        const auto at = read_.target(files_struct, kFdt);
        const auto table = at ? read_table(*at) : std::nullopt;
        list = {};
        if (!table) {
            list.report.end = WalkEnd::fault;
            list.report.last_address = at.value_or(files_struct).value;
            return list;
        }
        list.claimed = table->slots;
        list.report.retries = attempt;
        read_slots(*table, budget, list);
        list.report.nodes = list.files.size();
        if (!is_replaced(files_struct, *at)) return list;
        if (attempt + 1 == kAttempts) {
            list.report.end = WalkEnd::inconsistent;
            list.report.last_address = at->value;
            return list;
        }
        forget_();
    }
}

// A running guest puts a larger table in its place, and gives the old one's memory to somebody else.
bool OpenFiles::is_replaced(Gva files_struct, Gva table) const {
    if (!fresh_) return false;
    const auto now = fresh_->read_pointer(read_.address(files_struct, kFdt));
    return !now || *now != table;
}

}  // namespace vitrine::linux_os
