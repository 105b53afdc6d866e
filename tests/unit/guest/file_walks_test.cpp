// Mount lists and trees as a hostile guest may have them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <functional>

#include "file_walks.h"
#include "os/linux/mount_namespace.h"
#include "os/linux/rb_walk.h"

namespace vitrine::test {
namespace {

using linux_os::MountList;
using linux_os::MountNamespaces;
using ::testing::ElementsAre;
using namespace file_walks;

struct MountsOf {
    explicit MountsOf(Kernel& made)
        : kernel(made), members(made.members(linux_os::kMountNamespaceNeeds)), tree(made.members(linux_os::kRbNeeds)) {}
    [[nodiscard]] MountList operator()(Gva ns) const {
        return MountNamespaces(*kernel.space, members, tree).mounts_of(ns, {});
    }
    Kernel& kernel;
    Members members, tree;
};

TEST(MountNamespaces, AListIsWalkedAndPlaceMarksAreNoMounts) {
    Kernel kernel;
    const Gva ns = kernel.alloc(32);
    const Gva a = kernel.alloc(32);
    const Gva mark = kernel.alloc(32);
    const Gva b = kernel.alloc(32);
    kernel.link(ns.wrap_plus(kLink), a.wrap_plus(kLink));
    kernel.link(a.wrap_plus(kLink), mark.wrap_plus(kLink));
    kernel.link(mark.wrap_plus(kLink), b.wrap_plus(kLink));
    kernel.link(b.wrap_plus(kLink), ns.wrap_plus(kLink));
    kernel.put32(mark.wrap_plus(24), 0x1000'0000);  // MNT_CURSOR
    const MountList list = MountsOf(kernel)(ns);
    EXPECT_EQ(list.report.end, WalkEnd::complete);
    EXPECT_THAT(list.mounts, ElementsAre(a, b));
}

TEST(MountNamespaces, AListThatLoopsEnds) {
    Kernel kernel;
    const Gva ns = kernel.alloc(32);
    const Gva a = kernel.alloc(32);
    const Gva b = kernel.alloc(32);
    kernel.link(ns.wrap_plus(kLink), a.wrap_plus(kLink));
    kernel.link(a.wrap_plus(kLink), b.wrap_plus(kLink));
    kernel.put(b.wrap_plus(kLink), a.wrap_plus(kLink).value);
    const MountList list = MountsOf(kernel)(ns);
    EXPECT_EQ(list.report.end, WalkEnd::inconsistent);
    EXPECT_THAT(list.mounts, ElementsAre(a, b));
}

// Seven nodes, balanced; node[i] is the i-th in order.
struct Tree {
    explicit Tree(Kernel& made) : kernel(made), ns(made.alloc(16)) {
        for (Gva& mount : mounts) mount = made.alloc(32);
        made.put(ns.wrap_plus(kLink), at(3).value);
        made.node(at(3), Gva{}, at(1), at(5));
        made.node(at(1), at(3), at(0), at(2), false);
        made.node(at(5), at(3), at(4), at(6), false);
        for (const auto& [leaf, parent] : {std::pair{0, 1}, {2, 1}, {4, 5}, {6, 5}})
            made.node(at(leaf), at(parent), Gva{}, Gva{});
    }
    [[nodiscard]] Gva at(int i) const { return mounts[static_cast<std::size_t>(i)].wrap_plus(kLink); }

    Kernel& kernel;
    Gva ns;
    std::array<Gva, 7> mounts;
};

TEST(MountNamespaces, ATreeIsWalkedInOrder) {
    Kernel kernel(true);
    const Tree tree(kernel);
    const MountList list = MountsOf(kernel)(tree.ns);
    EXPECT_EQ(list.report.end, WalkEnd::complete);
    EXPECT_THAT(list.mounts, ::testing::ElementsAreArray(tree.mounts));
}

TEST(MountNamespaces, AnEmptyTreeHasNoMounts) {
    Kernel kernel(true);
    const MountList list = MountsOf(kernel)(kernel.alloc(16));
    EXPECT_EQ(list.report.end, WalkEnd::complete);
    EXPECT_TRUE(list.mounts.empty());
}

TEST(MountNamespaces, ATreeThatLoopsEnds) {
    const std::pair<const char*, std::function<void(const Tree&)>> damages[] = {
        {"up again", [](const Tree& t) { t.kernel.put(t.at(6).wrap_plus(8), t.at(3).value); }},
        {"to itself", [](const Tree& t) { t.kernel.put(t.at(2).wrap_plus(8), t.at(2).value); }},
        {"leaf named its own parent's parent",
         [](const Tree& t) {
             t.kernel.node(t.at(6), t.at(6), Gva{}, t.at(6));
             t.kernel.put(t.at(5).wrap_plus(8), t.at(6).value);
         }},
        {"the same child on both sides", [](const Tree& t) { t.kernel.put(t.at(3).wrap_plus(8), t.at(1).value); }},
        {"across", [](const Tree& t) { t.kernel.put(t.at(4).wrap_plus(8), t.at(6).value); }},
    };
    for (const auto& [what, damage] : damages) {
        SCOPED_TRACE(what);
        Kernel kernel(true);
        const Tree tree(kernel);
        damage(tree);
        const MountList list = MountsOf(kernel)(tree.ns);
        EXPECT_EQ(list.report.end, WalkEnd::inconsistent);
        EXPECT_LE(list.mounts.size(), tree.mounts.size());
    }
}

// Each node the left child of the one before, as no balanced tree can be.
TEST(MountNamespaces, ATreeThatIsAChainEnds) {
    Kernel kernel(true);
    const Gva ns = kernel.alloc(16);
    Gva parent{};
    Gva at = kernel.alloc(32);
    kernel.put(ns.wrap_plus(kLink), at.value);
    for (int i = 0; i < 10'000; ++i) {
        const Gva next = kernel.alloc(32);
        kernel.node(at, parent, next, Gva{});
        parent = at;
        at = next;
    }
    EXPECT_EQ(MountsOf(kernel)(ns).report.end, WalkEnd::inconsistent);
}

TEST(MountNamespaces, ANodeThatCannotBeReadEndsTheWalk) {
    Kernel kernel(true);
    const Tree tree(kernel);
    kernel.put(tree.at(3).wrap_plus(8), kBase.wrap_plus(64u << 20).value);
    const MountList list = MountsOf(kernel)(tree.ns);
    EXPECT_EQ(list.report.end, WalkEnd::fault);
    EXPECT_EQ(list.mounts.size(), 4u);
}

}  // namespace
}  // namespace vitrine::test
