// What /proc/PID/maps says of a mapping besides its range (fs/proc/task_mmu.c, show_map_vma).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "os/linux/path.h"
#include "os/linux/vma_list.h"

namespace vitrine::linux_os {

struct MappedFile {
    std::uint32_t device = 0;  // dev_t of the kernel: major << 20 | minor
    std::uint64_t inode = 0;
};

// Names the mappings of one guest, one process after the other: what was read of one of its files, or of its mm_struct, is read again only
// after begin().
class MappingNames {
public:
    // `members`: kMappingMembers resolved. Both outlive the object.
    MappingNames(LinuxGuest& guest, const Members& members);

    // From here on the mappings are those of the process with this mm_struct, as it is now.
    void begin(Gva mm);
    // The last column of /proc/PID/maps, " (deleted)" included; any bytes. "" where it is empty. Good until the next call.
    Result<std::string_view> name(const Vma& vma);
    // Precondition: vma.file is not null.
    [[nodiscard]] std::optional<MappedFile> file(const Vma& vma);

    // The page of old system calls, which every process has and no mm_struct keeps (arch/x86/entry/vsyscall/vsyscall_64.c); nullopt where
    // this process has none.
    [[nodiscard]] std::optional<Vma> vsyscall(Gva mm) const;

private:
    // Where a program's heap and stack are, by its mm_struct.
    struct Places {
        std::uint64_t heap = 0, heap_end = 0, stack = 0;
    };
    // The mappings of one file mostly follow each other.
    struct LastFile {
        Gva file;
        std::optional<std::optional<MappedFile>> facts;
        std::optional<std::string> path;
    };
    LastFile& last_file(Gva file);
    [[nodiscard]] std::optional<MappedFile> read_file(Gva file) const;
    [[nodiscard]] std::optional<Places> read_places() const;
    [[nodiscard]] std::optional<Gva> user_path(Gva file) const;
    Result<std::string> path_of(Gva file) const;
    Result<std::string> special(const Vma& vma) const;
    Result<std::string> anonymous(const Vma& vma, std::string_view prefix) const;

    LinuxGuest& guest_;
    const Members& members_;
    PathResolver paths_;
    std::optional<Gva> special_mapping_name_, gate_vma_;
    Gva mm_;
    std::optional<Places> places_;
    LastFile last_file_;
    std::string text_;  // the last name that is no file's
};

// "rw-p"
[[nodiscard]] std::string permissions(std::uint64_t flags);

// Names of the flags without their VM_, separated by spaces; bits without a name as one number. They are the kernel's own where its types
// tell them.
class MappingFlags {
public:
    explicit MappingFlags(const TypeCatalog& types);  // outlives the object
    [[nodiscard]] std::string text(std::uint64_t flags) const;

private:
    std::array<std::string_view, 64> names_{};
};

}  // namespace vitrine::linux_os
