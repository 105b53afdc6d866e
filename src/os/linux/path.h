// Paths of files as /proc shows them (fs/d_path.c), walked from dentry to dentry and mount to mount.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "os/linux/layout.h"
#include "vitrine/memory/address_space.h"

namespace vitrine::linux_os {

// What the names of namespaces' files and of dma-bufs need besides the layout.
extern const NeedGroup kSpecialPathNeeds;

struct FilePath {
    std::string text;      // any bytes; without " (deleted)"
    bool deleted = false;  // unlinked, or never linked (memfd)
    // As readlink of /proc/PID/fd/N gives it.
    [[nodiscard]] std::string link() const { return deleted ? text + " (deleted)" : text; }
};

class PathResolver {
public:
    // All outlive the resolver. `special`: kSpecialPathNeeds resolved; without it the files of namespaces have no path.
    PathResolver(const AddressSpace& space, const Layout& layout, const Members* special = nullptr)
        : space_(space), layout_(layout), special_(special) {}

    // Of a struct path at this address. not_found when the layout lacks a member, fault when a part cannot be read, limit
    // when it is longer than PATH_MAX or deeper than a path can be, malformed when a name is impossible.
    Result<FilePath> of_path(Gva path) const;
    // The same of its two members: struct vfsmount and struct dentry.
    Result<FilePath> of(Gva vfsmount, Gva dentry) const;
    // Of a struct file.
    Result<FilePath> of_file(Gva file) const;
    // From the root of its file system on, as mountinfo gives what of it is mounted (dentry_path()).
    Result<FilePath> inside_file_system(Gva dentry) const;

private:
    // What a directory entry says of itself.
    struct Entry {
        Gva parent, text, hash_pprev;
        std::uint32_t length = 0;
        friend bool operator==(const Entry&, const Entry&) = default;
    };
    struct Name {
        std::string text;
        Gva parent;
        bool unhashed = false;
    };
    // A path found before: good as long as its entry says the same. An entry keeps all above it from being freed, and its place in the hash
    // goes by its name.
    struct Known {
        Entry entry;
        FilePath path;
    };
    static constexpr std::size_t kMostKnown = 4096;

    Result<Entry> read_entry(Gva dentry) const;
    Result<Name> read_name(Gva dentry) const;
    Result<Name> read_name(Gva dentry, const Entry& entry) const;
    Result<FilePath> walk(Gva mount, Gva dentry, const Entry* known) const;
    [[nodiscard]] Result<void> check_layout() const;
    Result<std::string> file_system(Gva dentry) const;
    Result<FilePath> special_path(Gva dentry, const Name& name) const;
    Result<std::string> namespace_name(Gva dentry) const;
    Result<std::string> dma_buf_name(Gva dentry) const;
    Result<std::string> text_behind(Gva object, std::size_t member, std::size_t name) const;
    Result<std::uint64_t> inode_number(Gva dentry) const;

    const AddressSpace& space_;
    const Layout& layout_;
    const Members* special_;
    mutable std::map<std::pair<std::uint64_t, std::uint64_t>, Known> known_;  // by mount and entry
};

}  // namespace vitrine::linux_os
