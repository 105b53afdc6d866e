// Paths of files as /proc shows them (fs/d_path.c), walked from dentry to dentry and mount to mount.
#pragma once

#include <string>

#include "os/linux/layout.h"
#include "vitrine/memory/address_space.h"

namespace vitrine::linux_os {

struct FilePath {
    std::string text;      // any bytes; without " (deleted)"
    bool deleted = false;  // unlinked, or never linked (memfd)
};

class PathResolver {
public:
    // Both outlive the resolver.
    PathResolver(const AddressSpace& space, const Layout& layout) : space_(space), layout_(layout) {}

    // Of a struct path at this address. not_found when the layout lacks a member, fault when a part cannot be read, limit
    // when it is longer than PATH_MAX or deeper than a path can be, malformed when a name is impossible.
    Result<FilePath> of_path(Gva path) const;
    // Of a struct file.
    Result<FilePath> of_file(Gva file) const;

private:
    struct Name {
        std::string text;
        Gva parent;
        bool unhashed = false;
    };
    Result<Name> read_name(Gva dentry) const;
    Result<std::string> special_name(Gva dentry, const Name& name) const;

    const AddressSpace& space_;
    const Layout& layout_;
};

}  // namespace vitrine::linux_os
