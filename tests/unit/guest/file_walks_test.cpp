// Tables of descriptors, mount lists and trees as a hostile guest may have them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <functional>

#include "os/linux/mount_namespace.h"
#include "os/linux/open_files.h"
#include "os/linux/rb_walk.h"
#include "support/btf_writer.h"
#include "support/page_table_builder.h"
#include "support/synthetic_memory.h"

namespace vitrine::test {
namespace {

using linux_os::MountList;
using linux_os::MountNamespaces;
using linux_os::OpenFileList;
using linux_os::OpenFiles;
using ::testing::ElementsAre;
using vitrine::testing::PageTableBuilder;
using vitrine::testing::SyntheticMemory;

constexpr std::uint64_t kSize = 16u << 20;
constexpr Gva kBase{0xffff'8880'0000'0000};
constexpr std::uint64_t kLink = 8;  // where the links are in all of the structures below

// The structures that the walks read, as an old kernel has them (mounts in a list) or a new one (in a tree).
std::shared_ptr<const TypeCatalog> catalog(bool tree) {
    BtfWriter w;
    const auto u32 = w.integer("unsigned int", 4);
    const auto u64 = w.integer("unsigned long", 8);
    const auto u16 = w.integer("unsigned short", 2);
    const auto pointer = w.pointer(0);
    const auto list = w.structure("list_head", 16, {{"next", pointer, 0}, {"prev", pointer, 64}});
    const auto node = w.structure(
        "rb_node", 24, {{"__rb_parent_color", u64, 0}, {"rb_right", pointer, 64}, {"rb_left", pointer, 128}});
    const auto root = w.structure("rb_root", 8, {{"rb_node", pointer, 0}});
    w.structure("files_struct", 16, {{"count", u32, 0}, {"fdt", pointer, 64}});
    w.structure(
        "fdtable", 32,
        {{"max_fds", u32, 0}, {"fd", pointer, 64}, {"close_on_exec", pointer, 128}, {"open_fds", pointer, 192}});
    w.structure("inode", 8, {{"i_mode", u16, 0}});
    w.structure("file", 8, {{"f_inode", pointer, 0}});
    w.structure("nsproxy", 8, {{"mnt_ns", pointer, 0}});
    const auto common = w.structure("ns_common", 8, {{"inum", u32, 0}});
    if (tree) {
        w.structure("mnt_namespace", 16, {{"ns", common, 0}, {"mounts", root, 64}});
        w.structure("mount", 32, {{"mnt_id", u32, 0}, {"mnt_node", node, 64}});
    } else {
        w.structure("mnt_namespace", 32, {{"ns", common, 0}, {"list", list, 64}, {"mounts", u32, 192}});
        const auto vfsmount = w.structure("vfsmount", 8, {{"mnt_flags", u32, 0}});
        w.structure("mount", 32, {{"mnt_id", u32, 0}, {"mnt_list", list, 64}, {"mnt", vfsmount, 192}});
    }
    return *parse_btf(w.blob(), "test");
}

class Kernel {
public:
    explicit Kernel(bool tree = false) : types(catalog(tree)), memory(kSize) {
        PageTableBuilder tables(memory, PagingMode::x86_64_4level, Gpa{kSize - (1u << 20)});
        tables.map_range(kBase, Gpa{0}, 8u << 20, 2u << 20);
        root_ = tables.root();
        space = std::make_unique<AddressSpace>(memory, PagingMode::x86_64_4level, root_);
    }
    Gva alloc(std::uint64_t size) {
        const Gva at = kBase.wrap_plus(next_);
        next_ += (size + 63) / 64 * 64;
        return at;
    }
    void put(Gva at, std::uint64_t value) { memory.write_value(Gpa{at.value - kBase.value}, value); }
    void put32(Gva at, std::uint32_t value) { memory.write_value(Gpa{at.value - kBase.value}, value); }
    [[nodiscard]] Members members(const NeedGroup& group) const { return *resolve_members(*types, group); }

    // A files_struct with a table of that many slots at `slots`.
    Gva files(std::uint32_t count, Gva slots, Gva open, Gva close) {
        const Gva table = alloc(32);
        put32(table, count);
        put(table.wrap_plus(8), slots.value);
        put(table.wrap_plus(16), close.value);
        put(table.wrap_plus(24), open.value);
        const Gva files = alloc(16);
        put(files.wrap_plus(8), table.value);
        return files;
    }
    void link(Gva one, Gva other) {
        put(one, other.value);
        put(other.wrap_plus(8), one.value);
    }
    void node(Gva at, Gva parent, Gva left, Gva right, bool black = true) {
        put(at, parent.value | (black ? 1 : 0));
        put(at.wrap_plus(8), right.value);
        put(at.wrap_plus(16), left.value);
    }

    std::shared_ptr<const TypeCatalog> types;
    SyntheticMemory memory;
    std::unique_ptr<AddressSpace> space;

private:
    Gpa root_;
    std::uint64_t next_ = 0x1000;
};

TEST(OpenFiles, AreThoseOfTheTableWithTheBitsOfEach) {
    Kernel kernel;
    const Gva slots = kernel.alloc(64 * 8);
    const Gva open = kernel.alloc(8);
    const Gva close = kernel.alloc(8);
    kernel.put(slots, 0xffff'8880'0011'0000);
    kernel.put(slots.wrap_plus(63 * 8), 0xffff'8880'0022'0000);
    kernel.put(open, 1);  // not 63: somebody hides it
    kernel.put(close, std::uint64_t{1} << 63);
    const Members members = kernel.members(linux_os::kOpenFileNeeds);
    const OpenFiles walk(*kernel.space, members);
    const OpenFileList list = walk.of(kernel.files(64, slots, open, close), {});
    EXPECT_EQ(list.report.end, WalkEnd::complete);
    ASSERT_EQ(list.files.size(), 2u);
    EXPECT_EQ(list.files[0].fd, 0u);
    EXPECT_EQ(list.files[0].file, Gva{0xffff'8880'0011'0000});
    EXPECT_EQ(list.files[0].allocated, true);
    EXPECT_EQ(list.files[0].close_on_exec, false);
    EXPECT_EQ(list.files[1].fd, 63u);
    EXPECT_EQ(list.files[1].allocated, false);
    EXPECT_EQ(list.files[1].close_on_exec, true);
}

TEST(OpenFiles, ATableThatClaimsFourBillionSlotsIsBounded) {
    Kernel kernel;
    const Gva slots = kernel.alloc(64 * 8);
    kernel.put(slots.wrap_plus(8), 0xffff'8880'0011'0000);
    const Members members = kernel.members(linux_os::kOpenFileNeeds);
    const OpenFiles walk(*kernel.space, members);
    const OpenFileList list = walk.of(kernel.files(0xffff'ffff, slots, Gva{}, Gva{}), {});
    EXPECT_NE(list.report.end, WalkEnd::complete);
    EXPECT_EQ(list.claimed, 0xffff'ffffu);
    ASSERT_FALSE(list.files.empty());
    EXPECT_EQ(list.files[0].fd, 1u);
    // Without bitmaps nothing is known of the bits.
    EXPECT_EQ(list.files[0].allocated, std::nullopt);
    EXPECT_EQ(list.files[0].close_on_exec, std::nullopt);
    EXPECT_LT(kernel.memory.operations, 100'000u);
}

TEST(OpenFiles, AHoleInTheTableCostsTheFilesInItOnly) {
    Kernel kernel;
    // The table goes on past the end of what is mapped, and begins there for the other one.
    const Gva slots = kBase.wrap_plus((8u << 20) - kPageSize);
    kernel.put(slots, 0xffff'8880'0011'0000);
    const Members members = kernel.members(linux_os::kOpenFileNeeds);
    const OpenFiles walk(*kernel.space, members);
    const OpenFileList list = walk.of(kernel.files(1024, slots, Gva{}, Gva{}), {});
    EXPECT_EQ(list.report.end, WalkEnd::fault);
    EXPECT_EQ(list.report.last_address, slots.wrap_plus(kPageSize).value);
    EXPECT_EQ(list.files.size(), 1u);
    const OpenFileList none = walk.of(kBase.wrap_plus(9u << 20), {});
    EXPECT_EQ(none.report.end, WalkEnd::fault);
    EXPECT_TRUE(none.files.empty());
}

TEST(OpenFiles, NoMoreAreKeptThanTheBudgetHas) {
    Kernel kernel;
    const Gva slots = kernel.alloc(4096 * 8);
    for (std::uint64_t i = 0; i < 4096; ++i) kernel.put(slots.wrap_plus(i * 8), 0xffff'8880'0011'0000);
    const Members members = kernel.members(linux_os::kOpenFileNeeds);
    const OpenFiles walk(*kernel.space, members);
    WalkBudget budget;
    budget.nodes = 100;
    const OpenFileList list = walk.of(kernel.files(4096, slots, Gva{}, Gva{}), budget);
    EXPECT_EQ(list.report.end, WalkEnd::budget);
    EXPECT_EQ(list.files.size(), 100u);
}

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
