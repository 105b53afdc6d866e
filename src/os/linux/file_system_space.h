// What statfs(2) answers, for file systems that keep it in memory: tmpfs with all that is built on it, and those that have no blocks (proc,
// sysfs, ...). Others (ext4, xfs) keep it in structures of their own, which the kernel's types do not tell.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "os/linux/member_reader.h"
#include "vitrine/guest/linux_guest.h"

namespace vitrine::linux_os {

extern const NeedGroup kFileSystemSpaceNeeds;

struct FileSystemSpace {
    std::optional<std::uint64_t> block_size;  // bytes; also known where the rest is not
    std::optional<std::uint64_t> blocks, blocks_free, inodes, inodes_free;
};

class FileSystemSpaces {
public:
    // Looks for the functions that answer by name. All outlive it. `members`: kFileSystemSpaceNeeds resolved.
    FileSystemSpaces(LinuxGuest& guest, const Members& members);

    // Of a struct super_block.
    [[nodiscard]] FileSystemSpace of(Gva super_block) const;

private:
    void tmpfs(Gva super_block, FileSystemSpace& space) const;
    [[nodiscard]] std::optional<std::int64_t> sum(Gva counter) const;

    MemberReader read_;
    std::optional<Gva> simple_, kernfs_,
        tmpfs_;  // simple_statfs(), kernfs_statfs() (which adds an id to it), shmem_statfs()
    std::vector<std::uint64_t> cpu_offsets_;
};

}  // namespace vitrine::linux_os
