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

// Names the mappings of one guest.
class MappingNames {
public:
    // `members`: kMappingMembers resolved. Both outlive the object.
    MappingNames(LinuxGuest& guest, const Members& members);

    // The last column of /proc/PID/maps, " (deleted)" included; any bytes. "" where it is empty.
    Result<std::string> name(Gva mm, const Vma& vma);
    // Precondition: vma.file is not null.
    [[nodiscard]] std::optional<MappedFile> file(const Vma& vma) const;

    // The page of old system calls, which every process has and no mm_struct keeps (arch/x86/entry/vsyscall/vsyscall_64.c); nullopt where
    // this process has none.
    [[nodiscard]] std::optional<Vma> vsyscall(Gva mm) const;

private:
    [[nodiscard]] std::optional<Gva> user_path(Gva file) const;
    Result<std::string> path_of(Gva file) const;
    Result<std::string> special(const Vma& vma) const;
    Result<std::string> anonymous(const Vma& vma, std::string_view prefix) const;

    LinuxGuest& guest_;
    const Members& members_;
    PathResolver paths_;
    std::optional<Gva> special_mapping_name_, gate_vma_;
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
