#include "os/linux/mount_namespace.h"

#include <array>

#include "os/linux/list_walk.h"
#include "os/linux/rb_walk.h"

namespace vitrine::linux_os {
namespace {

enum : std::size_t { kProxyMnt, kInum, kList, kTree, kMountList, kMountNode, kFlags };

constexpr auto kMembers = std::to_array<MemberNeed>({
    {"nsproxy", {"mnt_ns"}, MemberShape::pointer},
    {"mnt_namespace", {"ns.inum"}, MemberShape::u32},
    {"mnt_namespace", {"list"}, MemberShape::list, false},
    // A number of that name until 6.7. Linux commit 2eea9ce4310d "mounts: keep list of mounts in an rbtree" (6.8)
    {"mnt_namespace", {"mounts"}, MemberShape::record, false},
    {"mount", {"mnt_list"}, MemberShape::list, false},
    {"mount", {"mnt_node"}, MemberShape::record, false},
    {"mount", {"mnt.mnt_flags"}, MemberShape::u32, false},
});

constexpr unsigned kAttempts = 4;
// Who reads mountinfo puts a place mark into the list. Linux commit 9f6c61f96f2d "proc/mounts: add cursor" (5.8)
constexpr std::uint64_t kCursor = 0x10000000;  // MNT_CURSOR

}  // namespace

constinit const NeedGroup kMountNamespaceNeeds{"mount namespaces", kMembers};

std::optional<Gva> MountNamespaces::of_nsproxy(Gva nsproxy) const { return read_.target(nsproxy, kProxyMnt); }

std::optional<std::uint32_t> MountNamespaces::number(Gva ns) const {
    const auto number = read_.number(ns, kInum);
    return number ? std::optional(static_cast<std::uint32_t>(*number)) : std::nullopt;
}

MountList MountNamespaces::walk_once(Gva ns, WalkBudget budget) const {
    MountList list;
    if (read_.has(kList) && read_.has(kMountList)) {
        list.report = walk_list(read_.space(), read_.address(ns, kList), budget, [&](Gva link) {
            const Gva mount = link.wrap_minus(read_.members().at(kMountList));
            if ((read_.number(mount, kFlags).value_or(0) & kCursor) == 0) list.mounts.push_back(mount);
            return true;
        });
    } else if (read_.has(kTree) && read_.has(kMountNode)) {
        list.report = walk_rb_tree(read_.space(), tree_, read_.address(ns, kTree), budget, [&](Gva node) {
            list.mounts.push_back(node.wrap_minus(read_.members().at(kMountNode)));
            return true;
        });
    } else {
        list.report.end = WalkEnd::fault;
    }
    return list;
}

MountList MountNamespaces::mounts_of(Gva ns, WalkBudget budget) const {
    MountList longest;
    for (unsigned attempt = 0; attempt < kAttempts; ++attempt) {
        MountList list = walk_once(ns, budget);
        list.report.retries = attempt;
        if (list.report.end == WalkEnd::complete || list.report.end == WalkEnd::budget) return list;
        if (attempt == 0 || list.mounts.size() > longest.mounts.size()) longest = std::move(list);
        read_.space().new_generation();
    }
    return longest;
}

}  // namespace vitrine::linux_os
