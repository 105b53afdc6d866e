// The mounts of a mount namespace (fs/namespace.c): a list (mnt_namespace.list, before 6.8) or a tree (mnt_namespace.mounts).
//
//   const MountNamespaces namespaces(guest.space(), mount_members, rb_members);
//   const MountList list = namespaces.mounts_of(ns, context.budget);
//   for (const Gva mount : list.mounts) ...
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "os/linux/member_reader.h"
#include "vitrine/base/walk.h"

namespace vitrine::linux_os {

extern const NeedGroup kMountNamespaceNeeds;

struct MountList {
    std::vector<Gva> mounts;  // of struct mount, in the kernel's order
    WalkReport report;        // as far as it went when it is not complete
};

class MountNamespaces {
public:
    // All outlive it. `members`: kMountNamespaceNeeds resolved; `tree`: kRbNeeds.
    MountNamespaces(const AddressSpace& space, const Members& members, const Members& tree)
        : read_(space, members), tree_(tree) {}

    // Of a struct nsproxy; nullopt when it has none, or cannot be read.
    [[nodiscard]] std::optional<Gva> of_nsproxy(Gva nsproxy) const;
    // Its inode number, by which /proc/PID/ns/mnt names it.
    [[nodiscard]] std::optional<std::uint32_t> number(Gva ns) const;
    // Of a struct mnt_namespace. One that a running guest changes meanwhile is walked anew up to four times.
    [[nodiscard]] MountList mounts_of(Gva ns, WalkBudget budget) const;

private:
    [[nodiscard]] MountList walk_once(Gva ns, WalkBudget budget) const;

    MemberReader read_;
    const Members& tree_;
};

}  // namespace vitrine::linux_os
