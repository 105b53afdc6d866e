// The open files of a process: files_struct, its table of descriptors, and the struct file behind each (fs/file.c).
//
//   const Members& members = *VITRINE_TRY(guest.members(kOpenFileNeeds));
//   const OpenFiles open_files = OpenFiles::of_guest(guest, members);
//   const OpenFileList list = open_files.of_task(task, context.budget);
//   for (const OpenFile& open : list.files) ...
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "os/linux/member_reader.h"
#include "os/linux/task_view.h"
#include "vitrine/base/walk.h"

namespace vitrine::linux_os {

extern const NeedGroup kOpenFileNeeds;

struct OpenFile {
    std::uint32_t fd = 0;
    Gva file;  // of struct file, never null; read nothing else of it yet
    // nullopt where the bitmap cannot be read.
    std::optional<bool> close_on_exec;
    std::optional<bool> allocated;  // set in the bitmap of descriptors in use, as that of every open file is
};

struct OpenFileList {
    std::vector<OpenFile> files;  // by rising descriptor
    // fault: a part of the table could not be read and is left out, last_address says where. budget: the table claims more descriptors than
    // were looked at. inconsistent: it was replaced each time while it was read.
    WalkReport report;
    std::uint32_t claimed = 0;  // descriptors the table has room for, as it says itself
};

class OpenFiles {
public:
    // All outlive it. `members`: kOpenFileNeeds resolved.
    [[nodiscard]] static OpenFiles of_guest(const LinuxGuest& guest, const Members& members);
    // `fresh`: the same addresses read past all caches, where memory may change meanwhile; `forget` empties the caches behind `space`.
    OpenFiles(
        const AddressSpace& space, const Members& members, std::optional<AddressSpace> fresh = std::nullopt,
        std::function<void()> forget = [] {})
        : read_(space, members), fresh_(std::move(fresh)), forget_(std::move(forget)) {}

    // As /proc/PID/fd lists them: of this task's own table; that of a process is its leader's. Empty when the task has none: it is ending.
    [[nodiscard]] OpenFileList of_task(const TaskView& task, WalkBudget budget) const;
    // Of a struct files_struct.
    [[nodiscard]] OpenFileList of(Gva files_struct, WalkBudget budget) const;

    // Of a struct file.
    [[nodiscard]] std::optional<Gva> inode(Gva file) const;
    // inode.i_mode: the kind (S_IFMT) and the permissions.
    [[nodiscard]] std::optional<std::uint32_t> mode(Gva inode) const;
    [[nodiscard]] static bool is_fifo(std::uint32_t mode) { return (mode & 0170000) == 0010000; }

private:
    struct Table;
    [[nodiscard]] std::optional<Table> read_table(Gva at) const;
    void read_slots(const Table& table, WalkBudget budget, OpenFileList& list) const;

    [[nodiscard]] bool is_replaced(Gva files_struct, Gva table) const;

    MemberReader read_;
    std::optional<AddressSpace> fresh_;
    std::function<void()> forget_;
};

}  // namespace vitrine::linux_os
