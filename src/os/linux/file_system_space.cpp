#include "os/linux/file_system_space.h"

#include <array>

#include "os/linux/per_cpu_offsets.h"

namespace vitrine::linux_os {
namespace {

enum : std::size_t {
    kOperations,
    kBlockSize,
    kInfo,
    kStatfs,
    kMaxBlocks,
    kUsedBlocks,
    kMaxInodes,
    kFreeInodes,
    kFreeInodeSpace,
    kCounterCount,
    kCounterParts,
};

constexpr auto kMembers = std::to_array<MemberNeed>({
    {"super_block", {"s_op"}, MemberShape::pointer, false},
    {"super_block", {"s_blocksize"}, MemberShape::u64, false},
    {"super_block", {"s_fs_info"}, MemberShape::pointer, false},
    {"super_operations", {"statfs"}, MemberShape::pointer, false},
    {"shmem_sb_info", {"max_blocks"}, MemberShape::u64, false},
    {"shmem_sb_info", {"used_blocks"}, MemberShape::record, false},
    {"shmem_sb_info", {"max_inodes"}, MemberShape::u64, false},
    {"shmem_sb_info", {"free_inodes"}, MemberShape::u64, false},
    {"shmem_sb_info", {"free_ispace"}, MemberShape::u64, false},  // 6.6 and later
    {"percpu_counter", {"count"}, MemberShape::u64, false},
    {"percpu_counter", {"counters"}, MemberShape::pointer, false},
});

constexpr std::uint64_t kInodeSpace = 1024;  // BOGO_INODE_SIZE (mm/shmem.c)

}  // namespace

constinit const NeedGroup kFileSystemSpaceNeeds{"space of file systems", kMembers};

FileSystemSpaces::FileSystemSpaces(LinuxGuest& guest, const Members& members) : read_(guest.space(), members) {
    if (const auto symbols = guest.symbols()) {
        simple_ = (*symbols)->address_of("simple_statfs");
        kernfs_ = (*symbols)->address_of("kernfs_statfs");
        tmpfs_ = (*symbols)->address_of("shmem_statfs");
    }
    if (auto offsets = per_cpu_offsets(guest)) cpu_offsets_ = std::move(*offsets);
}

FileSystemSpace FileSystemSpaces::of(Gva super_block) const {
    FileSystemSpace space;
    space.block_size = read_.number(super_block, kBlockSize);
    const auto operations = read_.target(super_block, kOperations);
    const auto answers = operations ? read_.target(*operations, kStatfs) : std::nullopt;
    if (!answers) return space;
    if (answers == simple_ || answers == kernfs_) {
        space = {kPageSize, 0, 0, 0, 0};
    } else if (answers == tmpfs_) {
        tmpfs(super_block, space);
    }
    return space;
}

// shmem_statfs(): without a limit all are 0.
void FileSystemSpaces::tmpfs(Gva super_block, FileSystemSpace& space) const {
    space.block_size = kPageSize;
    const auto info = read_.target(super_block, kInfo);
    if (!info) return;
    space.blocks = read_.number(*info, kMaxBlocks);
    if (space.blocks == 0) {
        space.blocks_free = 0;
    } else if (space.blocks && read_.has(kUsedBlocks)) {
        const auto used = sum(read_.address(*info, kUsedBlocks));
        if (used && *used >= 0 && static_cast<std::uint64_t>(*used) <= *space.blocks)
            space.blocks_free = *space.blocks - static_cast<std::uint64_t>(*used);
    }
    space.inodes = read_.number(*info, kMaxInodes);
    if (space.inodes == 0) {
        space.inodes_free = 0;
        return;
    }
    space.inodes_free = read_.number(*info, kFreeInodes);
    if (const auto bytes = read_.number(*info, kFreeInodeSpace)) space.inodes_free = *bytes / kInodeSpace;
}

// percpu_counter_sum() (lib/percpu_counter.c)
std::optional<std::int64_t> FileSystemSpaces::sum(Gva counter) const {
    auto total = read_.signed_number(counter, kCounterCount);
    const auto parts = read_.pointer(counter, kCounterParts);
    if (!total || !parts || cpu_offsets_.empty()) return std::nullopt;
    for (const std::uint64_t offset : cpu_offsets_) {
        const auto part = read_.space().read_value<std::int32_t>(parts->wrap_plus(offset));
        if (!part || __builtin_add_overflow(*total, std::int64_t{*part}, &*total)) return std::nullopt;
    }
    return total;
}

}  // namespace vitrine::linux_os
