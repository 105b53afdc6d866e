#include "os/linux/path.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace vitrine::linux_os {
namespace {

enum : std::size_t { kPrivate, kNsOps, kNsName, kFsData, kDmaBufName };

constexpr auto kMembers = std::to_array<MemberNeed>({
    {"inode", {"i_private"}, MemberShape::pointer, false},
    {"ns_common", {"ops"}, MemberShape::pointer, false},
    {"proc_ns_operations", {"name"}, MemberShape::pointer, false},
    {"dentry", {"d_fsdata"}, MemberShape::pointer, false},
    {"dma_buf", {"name"}, MemberShape::pointer, false},
});

constexpr std::uint32_t kNameMax = 255;  // NAME_MAX
constexpr std::size_t kPathMax = 4096;   // PATH_MAX
constexpr unsigned kMaxSteps = 4096;     // components and mounts crossed; a cycle ends here too

// What a lookup by path can have made: a forged name would else pass for several entries, or for another place. Only objects that are
// in no directory may be called otherwise: memfd_create() takes any name, and shared anonymous memory is "dev/zero".
bool is_entry_name(std::string_view name) {
    return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos;
}

Error lacks_member() { return Error::make(Errc::not_found, Origin::types, "a member that paths need"); }

}  // namespace

constinit const NeedGroup kSpecialPathNeeds{"paths of special files", kMembers};

Result<PathResolver::Entry> PathResolver::read_entry(Gva dentry) const {
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
    return Entry{Gva{load<std::uint64_t>(parent.data())}, Gva{load<std::uint64_t>(text.data())},
                 Gva{load<std::uint64_t>(pprev.data())}, load<std::uint32_t>(length.data())};
}

Result<PathResolver::Name> PathResolver::read_name(Gva dentry) const {
    const Entry entry = VITRINE_TRY(read_entry(dentry));
    return read_name(dentry, entry);
}

Result<PathResolver::Name> PathResolver::read_name(Gva dentry, const Entry& entry) const {
    if (entry.length > kNameMax)
        return Error::make_at(Errc::malformed, Origin::guest, dentry.value, "directory entry's name length");
    Name name;
    name.parent = entry.parent;
    name.unhashed = entry.hash_pprev.is_null();
    name.text.resize(entry.length);
    VITRINE_CHECK(space_.read(entry.text, std::as_writable_bytes(std::span(name.text))));
    // No name has a NUL; a torn or forged one might.
    if (name.text.find('\0') != std::string::npos)
        return Error::make_at(Errc::malformed, Origin::guest, dentry.value, "directory entry's name");
    return name;
}

Result<std::string> PathResolver::file_system(Gva dentry) const {
    if (!layout_.has(FieldId::dentry_sb) || !layout_.has(FieldId::sb_type) ||
        !layout_.has(FieldId::file_system_type_name))
        return std::string();
    const Gva sb = VITRINE_TRY(space_.read_pointer(dentry.wrap_plus(layout_.at(FieldId::dentry_sb))));
    const Gva type = VITRINE_TRY(space_.read_pointer(sb.wrap_plus(layout_.at(FieldId::sb_type))));
    const Gva text = VITRINE_TRY(space_.read_pointer(type.wrap_plus(layout_.at(FieldId::file_system_type_name))));
    return VITRINE_TRY(space_.read_c_string(text, 64)).bytes;
}

Result<std::uint64_t> PathResolver::inode_number(Gva dentry) const {
    if (!layout_.has(FieldId::dentry_inode) || !layout_.has(FieldId::inode_ino)) return lacks_member();
    const Gva inode = VITRINE_TRY(space_.read_pointer(dentry.wrap_plus(layout_.at(FieldId::dentry_inode))));
    return space_.read_value<std::uint64_t>(inode.wrap_plus(layout_.at(FieldId::inode_ino)));
}

// The string that object->member->name points to.
Result<std::string> PathResolver::text_behind(Gva object, std::size_t member, std::size_t name) const {
    constexpr std::size_t kLongest = 64;
    if (special_ == nullptr || !special_->has(member) || !special_->has(name)) return lacks_member();
    const Gva next = VITRINE_TRY(space_.read_pointer(object.wrap_plus(special_->at(member))));
    const Gva text = VITRINE_TRY(space_.read_pointer(next.wrap_plus(special_->at(name))));
    if (text.is_null()) return std::string();
    return VITRINE_TRY(space_.read_c_string(text, kLongest)).bytes;
}

// ns_dname() (fs/nsfs.c)
Result<std::string> PathResolver::namespace_name(Gva dentry) const {
    if (special_ == nullptr || !special_->has(kPrivate) || !layout_.has(FieldId::dentry_inode)) return lacks_member();
    const Gva inode = VITRINE_TRY(space_.read_pointer(dentry.wrap_plus(layout_.at(FieldId::dentry_inode))));
    const Gva ns = VITRINE_TRY(space_.read_pointer(inode.wrap_plus(special_->at(kPrivate))));
    const std::string kind = VITRINE_TRY(text_behind(ns, kNsOps, kNsName));
    return fmt::format("{}:[{}]", kind, VITRINE_TRY(inode_number(dentry)));
}

// dmabuffs_dname() (drivers/dma-buf/dma-buf.c)
Result<std::string> PathResolver::dma_buf_name(Gva dentry) const { return text_behind(dentry, kFsData, kDmaBufName); }

// Objects without a place in a file tree: their file system decides how /proc prints them (dentry_operations.d_dname).
Result<FilePath> PathResolver::special_path(Gva dentry, const Name& name) const {
    const std::string type = VITRINE_TRY(file_system(dentry));
    if (type == "anon_inodefs") return FilePath{"anon_inode:" + name.text};
    if (type == "pidfs") return FilePath{"anon_inode:[pidfd]"};  // pidfs_dname(), 6.9 and later
    if (type == "pipefs") return FilePath{fmt::format("pipe:[{}]", VITRINE_TRY(inode_number(dentry)))};
    if (type == "sockfs") return FilePath{fmt::format("socket:[{}]", VITRINE_TRY(inode_number(dentry)))};
    if (type == "nsfs") return FilePath{VITRINE_TRY(namespace_name(dentry))};
    if (type == "dmabuf") return FilePath{fmt::format("/{}:{}", name.text, VITRINE_TRY(dma_buf_name(dentry)))};
    return FilePath{"/" + name.text, true};  // simple_dname() says "(deleted)" of all others
}

Result<void> PathResolver::check_layout() const {
    using F = FieldId;
    for (const F id :
         {F::path_mnt, F::path_dentry, F::vfsmount_root, F::mount_mnt, F::mount_parent, F::mount_mountpoint,
          F::dentry_parent, F::dentry_name, F::dentry_name_len, F::dentry_hash_pprev}) {
        if (!layout_.has(id)) return lacks_member();
    }
    return {};
}

Result<FilePath> PathResolver::of_path(Gva path) const {
    VITRINE_CHECK(check_layout());
    const Gva vfsmount = VITRINE_TRY(space_.read_pointer(path.wrap_plus(layout_.at(FieldId::path_mnt))));
    const Gva dentry = VITRINE_TRY(space_.read_pointer(path.wrap_plus(layout_.at(FieldId::path_dentry))));
    if (vfsmount.is_null() || dentry.is_null())
        return Error::make_at(Errc::not_found, Origin::guest, path.value, "path");
    return of(vfsmount, dentry);
}

Result<FilePath> PathResolver::of(Gva vfsmount, Gva dentry) const {
    VITRINE_CHECK(check_layout());
    const Gva mount = vfsmount.wrap_minus(layout_.at(FieldId::mount_mnt));
    const auto entry = read_entry(dentry);
    const std::pair key{mount.value, dentry.value};
    const auto known = entry ? known_.find(key) : known_.end();
    if (known != known_.end() && known->second.entry == *entry) return known->second.path;
    FilePath path = VITRINE_TRY(walk(mount, dentry, entry ? &*entry : nullptr));
    // What is in no directory is named by more than its entry.
    if (!entry || entry->parent == dentry) return path;
    if (known_.size() == kMostKnown) known_.clear();
    known_.insert_or_assign(key, Known{*entry, path});
    return path;
}

// `known`: what the first entry says, where that was read before.
Result<FilePath> PathResolver::walk(Gva mount, Gva dentry, const Entry* known) const {
    using F = FieldId;
    const Gva start = dentry;
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
        const bool is_known = known != nullptr && dentry == start;
        const Name name = VITRINE_TRY(is_known ? read_name(dentry, *known) : read_name(dentry));
        if (name.parent == dentry) {  // the root of nothing that is mounted: a memfd, a pipe, a socket
            FilePath special = VITRINE_TRY(special_path(dentry, name));
            result.text = special.text + result.text;
            if (first) result.deleted = special.deleted;
            return result;
        }
        if (!is_entry_name(name.text))
            return Error::make_at(Errc::malformed, Origin::guest, dentry.value, "directory entry's name");
        if (first) result.deleted = name.unhashed;
        first = false;
        result.text.insert(0, "/" + name.text);
        dentry = name.parent;
    }
    return Error::make_at(Errc::limit, Origin::guest, start.value, "path longer than a path can be");
}

Result<FilePath> PathResolver::inside_file_system(Gva dentry) const {
    VITRINE_CHECK(check_layout());
    const Gva start = dentry;
    FilePath result;
    for (unsigned step = 0; step < kMaxSteps && result.text.size() < kPathMax; ++step) {
        const Name name = VITRINE_TRY(read_name(dentry));
        if (name.parent == dentry) {
            if (!result.text.empty()) return result;
            if (VITRINE_TRY(file_system(dentry)) == "nsfs" && dentry == start) {
                if (auto text = namespace_name(dentry)) return FilePath{std::move(*text)};
            }
            return FilePath{"/"};
        }
        if (!is_entry_name(name.text))
            return Error::make_at(Errc::malformed, Origin::guest, dentry.value, "directory entry's name");
        if (dentry == start) result.deleted = name.unhashed;
        result.text.insert(0, "/" + name.text);
        dentry = name.parent;
    }
    return Error::make_at(Errc::limit, Origin::guest, start.value, "path longer than a path can be");
}

Result<FilePath> PathResolver::of_file(Gva file) const {
    if (!layout_.has(FieldId::file_path)) return Error::make(Errc::not_found, Origin::types, "struct file.f_path");
    return of_path(file.wrap_plus(layout_.at(FieldId::file_path)));
}

}  // namespace vitrine::linux_os
