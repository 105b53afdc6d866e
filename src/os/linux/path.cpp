#include "os/linux/path.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace vitrine::linux_os {
namespace {

constexpr std::uint32_t kNameMax = 255;  // NAME_MAX
constexpr std::size_t kPathMax = 4096;   // PATH_MAX
constexpr unsigned kMaxSteps = 4096;     // components and mounts crossed; a cycle ends here too

// What a lookup by path can have made: a forged name would else pass for several entries, or for another place. Only objects that are
// in no directory may be called otherwise: memfd_create() takes any name, and shared anonymous memory is "dev/zero".
bool is_entry_name(std::string_view name) {
    return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos;
}

}  // namespace

Result<PathResolver::Name> PathResolver::read_name(Gva dentry) const {
    Name name;
    std::array<std::byte, 8> parent{}, text{}, pprev{};
    std::array<std::byte, 4> length{};
    std::array<VirtualReadOp, 4> ops{VirtualReadOp{dentry.wrap_plus(layout_.at(FieldId::dentry_parent)), parent},
                                     VirtualReadOp{dentry.wrap_plus(layout_.at(FieldId::dentry_name)), text},
                                     VirtualReadOp{dentry.wrap_plus(layout_.at(FieldId::dentry_name_len)), length},
                                     VirtualReadOp{dentry.wrap_plus(layout_.at(FieldId::dentry_hash_pprev)), pprev}};
    VITRINE_CHECK(space_.read_batch(ops));
    for (const VirtualReadOp& op : ops) {
        if (!op.ok) return Error::make_at(op.status, Origin::guest, op.address.value, "directory entry");
    }
    const auto bytes = load<std::uint32_t>(length.data());
    if (bytes > kNameMax)
        return Error::make_at(Errc::malformed, Origin::guest, dentry.value, "directory entry's name length");
    name.parent = Gva{load<std::uint64_t>(parent.data())};
    name.unhashed = load<std::uint64_t>(pprev.data()) == 0;
    name.text.resize(bytes);
    VITRINE_CHECK(space_.read(Gva{load<std::uint64_t>(text.data())}, std::as_writable_bytes(std::span(name.text))));
    // No name has a NUL; a torn or forged one might.
    if (name.text.find('\0') != std::string::npos)
        return Error::make_at(Errc::malformed, Origin::guest, dentry.value, "directory entry's name");
    return name;
}

// Objects without a place in a file tree: their file system decides how /proc prints them.
Result<std::string> PathResolver::special_name(Gva dentry, const Name& name) const {
    std::string type;
    if (layout_.has(FieldId::dentry_sb) && layout_.has(FieldId::sb_type) &&
        layout_.has(FieldId::file_system_type_name)) {
        const Gva sb = VITRINE_TRY(space_.read_pointer(dentry.wrap_plus(layout_.at(FieldId::dentry_sb))));
        const Gva fs_type = VITRINE_TRY(space_.read_pointer(sb.wrap_plus(layout_.at(FieldId::sb_type))));
        const Gva text = VITRINE_TRY(
            space_.read_pointer(fs_type.wrap_plus(layout_.at(FieldId::file_system_type_name))));
        type = VITRINE_TRY(space_.read_c_string(text, 64)).bytes;
    }
    if (type == "anon_inodefs") return "anon_inode:" + name.text;
    if ((type == "pipefs" || type == "sockfs") && layout_.has(FieldId::dentry_inode) &&
        layout_.has(FieldId::inode_ino)) {
        const Gva inode = VITRINE_TRY(space_.read_pointer(dentry.wrap_plus(layout_.at(FieldId::dentry_inode))));
        const auto number = VITRINE_TRY(
            space_.read_value<std::uint64_t>(inode.wrap_plus(layout_.at(FieldId::inode_ino))));
        return fmt::format("{}:[{}]", type == "pipefs" ? "pipe" : "socket", number);
    }
    return "/" + name.text;
}

Result<FilePath> PathResolver::of_path(Gva path) const {
    using F = FieldId;
    for (const F id :
         {F::path_mnt, F::path_dentry, F::vfsmount_root, F::mount_mnt, F::mount_parent, F::mount_mountpoint,
          F::dentry_parent, F::dentry_name, F::dentry_name_len, F::dentry_hash_pprev}) {
        if (!layout_.has(id)) return Error::make(Errc::not_found, Origin::types, "a member that paths need");
    }
    const Gva vfsmount = VITRINE_TRY(space_.read_pointer(path.wrap_plus(layout_.at(F::path_mnt))));
    Gva dentry = VITRINE_TRY(space_.read_pointer(path.wrap_plus(layout_.at(F::path_dentry))));
    if (vfsmount.is_null() || dentry.is_null())
        return Error::make_at(Errc::not_found, Origin::guest, path.value, "path");
    Gva mount = vfsmount.wrap_minus(layout_.at(F::mount_mnt));
    FilePath result;
    bool first = true;
    for (unsigned step = 0; step < kMaxSteps && result.text.size() < kPathMax; ++step) {
        const Gva root = VITRINE_TRY(
            space_.read_pointer(mount.wrap_plus(layout_.at(F::mount_mnt)).wrap_plus(layout_.at(F::vfsmount_root))));
        if (dentry == root) {
            const Gva parent = VITRINE_TRY(space_.read_pointer(mount.wrap_plus(layout_.at(F::mount_parent))));
            if (parent == mount) {
                if (result.text.empty()) result.text = "/";
                return result;
            }
            dentry = VITRINE_TRY(space_.read_pointer(mount.wrap_plus(layout_.at(F::mount_mountpoint))));
            mount = parent;
            continue;
        }
        const Name name = VITRINE_TRY(read_name(dentry));
        if (name.parent == dentry) {  // the root of nothing that is mounted: a memfd, a pipe, a socket
            result.text = VITRINE_TRY(special_name(dentry, name)) + result.text;
            // simple_dname() prints "(deleted)" for those that look like files.
            result.deleted = first && result.text.starts_with('/');
            return result;
        }
        if (!is_entry_name(name.text))
            return Error::make_at(Errc::malformed, Origin::guest, dentry.value, "directory entry's name");
        if (first) result.deleted = name.unhashed;
        first = false;
        result.text.insert(0, "/" + name.text);
        dentry = name.parent;
    }
    return Error::make_at(Errc::limit, Origin::guest, path.value, "path longer than a path can be");
}

Result<FilePath> PathResolver::of_file(Gva file) const {
    if (!layout_.has(FieldId::file_path)) return Error::make(Errc::not_found, Origin::types, "struct file.f_path");
    return of_path(file.wrap_plus(layout_.at(FieldId::file_path)));
}

}  // namespace vitrine::linux_os
