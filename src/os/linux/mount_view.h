// One mount as /proc/PID/mountinfo describes it (fs/proc_namespace.c).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "os/linux/layout.h"
#include "os/linux/member_reader.h"

namespace vitrine::linux_os {

extern const NeedGroup kMountNeeds;

struct MountView {
    Gva vfsmount, root, super_block;  // the parts that paths are made of; null where they cannot be read
    std::optional<std::int64_t> id, parent_id;
    std::optional<std::string> device;   // any bytes: what mount(2) was given as the source
    std::optional<std::string> fs_type;  // with its subtype: "fuse.sshfs"
    std::optional<std::uint32_t> device_number;
    std::optional<std::string> block_device;  // "vda1" where the file system is on one
    std::optional<std::string> options;       // "rw,nosuid,relatime"
    std::optional<std::string> super_options;
    std::optional<std::string> flags;        // as /proc/mounts joins them
    std::optional<std::string> propagation;  // "shared:1 master:2", "private", "unbindable"
};

class MountReader {
public:
    // All outlive it. `members`: kMountNeeds resolved.
    MountReader(const AddressSpace& space, const Layout& layout, const Members& members)
        : layout_(layout), read_(space, members) {}

    // Of a struct mount.
    [[nodiscard]] MountView read(Gva mount) const;

private:
    void read_super_block(MountView& view, std::optional<std::uint64_t> flags) const;
    [[nodiscard]] std::optional<std::string> file_system(Gva super_block) const;
    [[nodiscard]] std::optional<std::string> propagation(Gva mount, std::optional<std::uint64_t> flags) const;
    [[nodiscard]] std::optional<std::string> text(Gva address) const;

    const Layout& layout_;
    MemberReader read_;
};

}  // namespace vitrine::linux_os
