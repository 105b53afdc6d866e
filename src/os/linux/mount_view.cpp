#include "os/linux/mount_view.h"

#include <array>
#include <utility>

#include <fmt/format.h>

namespace vitrine::linux_os {
namespace {

enum : std::size_t {
    kId,
    kFlags,
    kSuperBlock,
    kRoot,
    kDeviceName,
    kGroup,
    kMaster,
    kTreeFlags,
    kSbFlags,
    kSbDevice,
    kSbType,
    kSbSubtype,
    kSbBlockDevice,
    kSbId,
    kFsName,
};

constexpr auto kMembers = std::to_array<MemberNeed>({
    {"mount", {"mnt_id"}, MemberShape::u32},
    {"mount", {"mnt.mnt_flags"}, MemberShape::u32, false},
    {"mount", {"mnt.mnt_sb"}, MemberShape::pointer, false},
    {"mount", {"mnt.mnt_root"}, MemberShape::pointer, false},
    {"mount", {"mnt_devname"}, MemberShape::pointer, false},
    {"mount", {"mnt_group_id"}, MemberShape::u32, false},
    {"mount", {"mnt_master"}, MemberShape::pointer, false},
    {"mount", {"mnt_t_flags"}, MemberShape::u32, false},  // 6.17 and later
    {"super_block", {"s_flags"}, MemberShape::u64, false},
    {"super_block", {"s_dev"}, MemberShape::u32, false},
    {"super_block", {"s_type"}, MemberShape::pointer, false},
    {"super_block", {"s_subtype"}, MemberShape::pointer, false},
    {"super_block", {"s_bdev"}, MemberShape::pointer, false},
    {"super_block", {"s_id"}, MemberShape::text, false},
    {"file_system_type", {"name"}, MemberShape::pointer, false},
});

using FlagName = std::pair<std::uint64_t, std::string_view>;

// include/linux/mount.h, in the order of show_mnt_opts() (fs/proc_namespace.c)
constexpr auto kMountFlags = std::to_array<FlagName>({
    {0x01, "nosuid"},
    {0x02, "nodev"},
    {0x04, "noexec"},
    {0x08, "noatime"},
    {0x10, "nodiratime"},
    {0x20, "relatime"},
    {0x80, "nosymfollow"},
});
constexpr std::uint64_t kReadOnly = 0x40;
// SB_* (include/linux/fs.h), in the order of show_sb_opts()
constexpr auto kSuperFlags = std::to_array<FlagName>({
    {1u << 4, "sync"},
    {1u << 7, "dirsync"},
    {1u << 6, "mand"},
    {1u << 25, "lazytime"},
});
constexpr std::uint64_t kSuperReadOnly = 1;
// Before the tree's flags were kept apart.
constexpr std::uint64_t kShared = 0x1000, kUnbindable = 0x2000;    // MNT_SHARED, MNT_UNBINDABLE
constexpr std::uint64_t kTreeShared = 0x1, kTreeUnbindable = 0x2;  // T_SHARED, T_UNBINDABLE (fs/mount.h)

template <std::size_t n>
std::string names(std::uint64_t flags, const std::array<FlagName, n>& known) {
    std::string text;
    for (const auto& [bit, name] : known) {
        if ((flags & bit) != 0) text += fmt::format(",{}", name);
    }
    return text;
}

std::string access(bool read_only) { return read_only ? "ro" : "rw"; }

}  // namespace

constinit const NeedGroup kMountNeeds{"mounts", kMembers};

std::optional<std::string> MountReader::text(Gva address) const {
    constexpr std::size_t kLongest = 4096;  // PATH_MAX, which mount(2) takes at most
    auto text = read_.space().read_c_string(address, kLongest);
    return text ? std::optional(std::move(text->bytes)) : std::nullopt;
}

std::optional<std::string> MountReader::file_system(Gva super_block) const {
    const auto type = read_.target(super_block, kSbType);
    const auto name = type ? read_.target(*type, kFsName) : std::nullopt;
    auto result = name ? text(*name) : std::nullopt;
    const auto subtype = result ? read_.target(super_block, kSbSubtype) : std::nullopt;
    if (!subtype) return result;
    const auto more = text(*subtype);
    if (more && !more->empty()) *result += "." + *more;
    return result;
}

std::optional<std::string> MountReader::propagation(Gva mount, std::optional<std::uint64_t> flags) const {
    const bool own_flags = read_.has(kTreeFlags);
    if (own_flags) flags = read_.number(mount, kTreeFlags);
    const auto master = read_.pointer(mount, kMaster);
    if (!flags || !master) return std::nullopt;
    std::string text;
    const auto add = [&text](std::string_view kind, std::optional<std::uint64_t> group) {
        text += fmt::format("{}{}", text.empty() ? "" : " ", kind);
        if (group) text += fmt::format(":{}", *group);
    };
    if ((*flags & (own_flags ? kTreeShared : kShared)) != 0) add("shared", read_.number(mount, kGroup));
    if (!master->is_null()) add("master", read_.number(*master, kGroup));
    if ((*flags & (own_flags ? kTreeUnbindable : kUnbindable)) != 0) add("unbindable", std::nullopt);
    return text.empty() ? "private" : text;
}

void MountReader::read_super_block(MountView& view, std::optional<std::uint64_t> flags) const {
    view.fs_type = file_system(view.super_block);
    if (const auto device = read_.number(view.super_block, kSbDevice))
        view.device_number = static_cast<std::uint32_t>(*device);
    if (read_.target(view.super_block, kSbBlockDevice)) view.block_device = read_.text(view.super_block, kSbId);
    const auto super = read_.number(view.super_block, kSbFlags);
    if (!super) return;
    const bool read_only = (*super & kSuperReadOnly) != 0;
    view.super_options = access(read_only) + names(*super, kSuperFlags);
    if (!flags) return;
    view.flags = access(read_only || (*flags & kReadOnly) != 0) + names(*super, kSuperFlags) +
                 names(*flags, kMountFlags);
}

MountView MountReader::read(Gva mount) const {
    MountView view;
    if (layout_.has(FieldId::mount_mnt)) view.vfsmount = mount.wrap_plus(layout_.at(FieldId::mount_mnt));
    view.id = read_.signed_number(mount, kId);
    if (layout_.has(FieldId::mount_parent)) {
        const auto parent = read_.space().read_pointer(mount.wrap_plus(layout_.at(FieldId::mount_parent)));
        if (parent && !parent->is_null()) view.parent_id = read_.signed_number(*parent, kId);
    }
    view.root = read_.pointer(mount, kRoot).value_or(Gva{});
    view.super_block = read_.pointer(mount, kSuperBlock).value_or(Gva{});
    const auto flags = read_.number(mount, kFlags);
    if (flags) view.options = access((*flags & kReadOnly) != 0) + names(*flags, kMountFlags);
    view.propagation = propagation(mount, flags);
    if (const auto device = read_.pointer(mount, kDeviceName))
        view.device = device->is_null() ? std::string("none") : text(*device);
    if (!view.super_block.is_null()) read_super_block(view, flags);
    return view;
}

}  // namespace vitrine::linux_os
