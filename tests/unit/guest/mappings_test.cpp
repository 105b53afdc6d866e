// Mappings of a process: maple trees and lists as kernels make them, and as an attacker would.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "os/linux/maple_tree.h"
#include "os/linux/vma_list.h"
#include "support/btf_writer.h"
#include "support/page_table_builder.h"
#include "support/synthetic_memory.h"
#include "vitrine/types/catalog.h"

namespace vitrine::test {
namespace {

using namespace linux_os;
using vitrine::testing::PageTableBuilder;
using vitrine::testing::SyntheticMemory;

constexpr std::uint64_t kLast = ~std::uint64_t{0};
constexpr Gva kBase{0xffff'8880'0000'0000};
constexpr Gva kMm = kBase.wrap_plus(0x1000);
constexpr std::uint64_t kTreeAt = 64, kListAt = 72, kCountAt = 96;  // in mm_struct

std::shared_ptr<const TypeCatalog> types(bool tree) {
    BtfWriter w;
    const auto u32 = w.integer("unsigned int", 4), u64 = w.integer("unsigned long", 8), pointer = w.pointer(0);
    const auto maple = w.structure("maple_tree", 16, {{"ma_flags", u32, 0}, {"ma_root", pointer, 64}});
    std::vector<BtfWriter::Member> mm = {{"map_count", u32, kCountAt * 8},
                                         {"start_brk", u64, 104 * 8},
                                         {"brk", u64, 112 * 8},
                                         {"start_stack", u64, 120 * 8}};
    if (tree) mm.push_back({"mm_mt", maple, kTreeAt * 8});
    else mm.push_back({"mmap", pointer, kListAt * 8});
    w.structure("mm_struct", 256, mm);
    w.structure("vm_area_struct", 96,
                {{"vm_start", u64, 0},
                 {"vm_end", u64, 64},
                 {"vm_next", pointer, 128},
                 {"vm_prev", pointer, 192},
                 {"vm_flags", u64, 256},
                 {"vm_pgoff", u64, 320},
                 {"vm_file", pointer, 384},
                 {"vm_ops", pointer, 448},
                 {"vm_private_data", pointer, 512},
                 {"vm_mm", pointer, 576}});
    const auto slots16 = w.array(pointer, 16), pivots15 = w.array(u64, 15);
    const auto slots10 = w.array(pointer, 10), pivots9 = w.array(u64, 9);
    w.structure("maple_range_64", 256, {{"pivot", pivots15, 64}, {"slot", slots16, 128 * 8}});
    w.structure("maple_arange_64", 256, {{"pivot", pivots9, 64}, {"slot", slots10, 80 * 8}});
    w.structure("maple_node", 256, {{"parent", pointer, 0}});
    auto catalog = parse_btf(w.blob(), "made up");
    EXPECT_TRUE(catalog) << catalog.error().to_string();
    return *catalog;
}

class Process {
public:
    explicit Process(bool tree) : tree_(tree), catalog_(types(tree)), memory_(16u << 20) {
        tables_.map_range(kBase, Gpa{0}, 8u << 20, 2u << 20);
        members_ = *resolve_members(*catalog_, kMappingMembers);
        maple_ = *resolve_members(*catalog_, kMapleTreeMembers);
    }

    void put(Gva at, std::uint64_t value) { memory_.write_value(Gpa{at.value - kBase.value}, value); }
    Gva alloc(std::uint64_t size) {
        const Gva at = kBase.wrap_plus(next_);
        next_ += (size + 255) / 256 * 256;
        return at;
    }
    Gva vma(std::uint64_t start, std::uint64_t end) {
        const Gva at = alloc(96);
        put(at, start);
        put(at.wrap_plus(8), end);
        put(at.wrap_plus(72), kMm.value);
        return at;
    }
    // As lib/maple_tree.c points to a node from another one's slot, and from the root.
    static std::uint64_t child(Gva node, unsigned type) { return node.value | type << 3 | 4; }
    void root(std::uint64_t entry) { put(kMm.wrap_plus(kTreeAt + 8), entry); }
    void root_node(Gva node, unsigned type) {
        put(node, kMm.wrap_plus(kTreeAt).value | 1);
        root(child(node, type) | 2);
    }
    Gva leaf(const std::vector<std::pair<std::uint64_t, Gva>>& slots) { return node(slots, 8, 128); }
    Gva inner(const std::vector<std::pair<std::uint64_t, std::uint64_t>>& slots) {
        std::vector<std::pair<std::uint64_t, Gva>> as_pointers;
        for (const auto& [pivot, entry] : slots) as_pointers.emplace_back(pivot, Gva{entry});
        const Gva at = node(as_pointers, 8, 80);
        for (const auto& [pivot, entry] : slots) put(Gva{entry & ~std::uint64_t{255}}, at.value | 6);
        return at;
    }
    void count(std::uint32_t n) { memory_.write_value(Gpa{kMm.value + kCountAt - kBase.value}, n); }
    void link(const std::vector<Gva>& list) {
        put(kMm.wrap_plus(kListAt), list.empty() ? 0 : list[0].value);
        for (std::size_t i = 0; i < list.size(); ++i) {
            put(list[i].wrap_plus(16), i + 1 < list.size() ? list[i + 1].value : 0);
            put(list[i].wrap_plus(24), i > 0 ? list[i - 1].value : 0);
        }
    }
    MappingList walk(WalkBudget budget = {}) {
        const AddressSpace space(memory_, PagingMode::x86_64_4level, tables_.root());
        return walk_mappings(space, members_, tree_ ? &maple_ : nullptr, kMm, budget);
    }

private:
    Gva node(const std::vector<std::pair<std::uint64_t, Gva>>& slots, std::uint64_t pivots_at, std::uint64_t slots_at) {
        const Gva at = alloc(256);
        for (std::size_t i = 0; i < slots.size(); ++i) {
            if (slots[i].first != kLast) put(at.wrap_plus(pivots_at + 8 * i), slots[i].first);
            put(at.wrap_plus(slots_at + 8 * i), slots[i].second.value);
        }
        return at;
    }

    bool tree_;
    std::shared_ptr<const TypeCatalog> catalog_;
    SyntheticMemory memory_;
    PageTableBuilder tables_{memory_, PagingMode::x86_64_4level, Gpa{8u << 20}};
    Members members_, maple_;
    std::uint64_t next_ = 0x2000;
};

constexpr unsigned kLeaf = 1, kAlloc = 3;

std::vector<std::uint64_t> starts(const MappingList& list) {
    std::vector<std::uint64_t> found;
    for (const Vma& vma : list.mappings) found.push_back(vma.start);
    return found;
}

TEST(MapleTree, OfNothing) {
    Process p(true);
    const MappingList list = p.walk();
    EXPECT_EQ(list.report.end, WalkEnd::complete);
    EXPECT_TRUE(list.mappings.empty());
}

TEST(MapleTree, OneLeafWithGaps) {
    Process p(true);
    p.root_node(
        p.leaf(
            {{0xfff, {}}, {0x1fff, p.vma(0x1000, 0x2000)}, {0x4fff, {}}, {0x5fff, p.vma(0x5000, 0x6000)}, {kLast, {}}}),
        kLeaf);
    p.count(2);
    const MappingList list = p.walk();
    EXPECT_EQ(list.report.end, WalkEnd::complete);
    EXPECT_EQ(starts(list), (std::vector<std::uint64_t>{0x1000, 0x5000}));
    EXPECT_TRUE(list.oddities.empty());
}

// Two levels; the first leaf is full: its last slot has no pivot.
TEST(MapleTree, LeavesUnderAnInnerNode) {
    Process p(true);
    std::vector<std::pair<std::uint64_t, Gva>> full;
    for (std::uint64_t i = 0; i < 16; ++i) full.emplace_back(i * 0x1000 + 0xfff, p.vma(i * 0x1000, (i + 1) * 0x1000));
    full.back().first = kLast;
    const Gva first = p.leaf(full);
    const Gva second = p.leaf({{0x1'1fff, p.vma(0x1'0000, 0x1'2000)}, {kLast, {}}});
    p.root_node(p.inner({{0xffff, Process::child(first, kLeaf)}, {kLast, Process::child(second, kLeaf)}}), kAlloc);
    p.count(17);
    const MappingList list = p.walk();
    EXPECT_EQ(list.report.end, WalkEnd::complete);
    EXPECT_EQ(list.mappings.size(), 17u);
    EXPECT_TRUE(list.oddities.empty()) << list.oddities.front();
}

TEST(MapleTree, EntriesOfItsOwnArePassedOver) {
    Process p(true);
    p.root_node(p.leaf({{0x1fff, Gva{1030}}, {kLast, {}}}), kLeaf);  // XA_ZERO_ENTRY
    EXPECT_EQ(p.walk().report.end, WalkEnd::complete);
    EXPECT_TRUE(p.walk().mappings.empty());
}

TEST(MapleTree, ANodeThatContainsItself) {
    Process p(true);
    const Gva top = p.inner({});
    p.put(top.wrap_plus(80), Process::child(top, kAlloc));
    p.root_node(top, kAlloc);
    EXPECT_NE(p.walk().report.end, WalkEnd::complete);
    // Its own child by what it says of its parent, too.
    const Gva below = p.inner({{kLast, Process::child(top, kAlloc)}});
    p.put(top.wrap_plus(80), Process::child(below, kAlloc));
    p.put(below, top.value | 6);
    p.root_node(top, kAlloc);
    const MappingList list = p.walk();
    EXPECT_TRUE(list.report.end == WalkEnd::cycle || list.report.end == WalkEnd::inconsistent);
    EXPECT_TRUE(list.mappings.empty());
}

// Each slot of each node leads to the same node below: 10^40 paths if it were not for the check.
TEST(MapleTree, ManyWaysToOneNode) {
    Process p(true);
    Gva below = p.leaf({{kLast, {}}});
    unsigned type = kLeaf;
    for (unsigned level = 0; level < 40; ++level) {
        const Gva at = p.inner({{0xfff, Process::child(below, type)},
                                {0x1fff, Process::child(below, type)},
                                {kLast, Process::child(below, type)}});
        below = at;
        type = kAlloc;
    }
    p.root_node(below, kAlloc);
    const MappingList list = p.walk();
    EXPECT_NE(list.report.end, WalkEnd::complete);
    EXPECT_TRUE(list.mappings.empty());
}

TEST(MapleTree, DeeperThanATreeCanBe) {
    Process p(true);
    Gva below = p.leaf({{kLast, {}}});
    unsigned type = kLeaf;
    for (unsigned level = 0; level < 40; ++level) {
        below = p.inner({{kLast, Process::child(below, type)}});
        type = kAlloc;
    }
    p.root_node(below, kAlloc);
    EXPECT_EQ(p.walk().report.end, WalkEnd::inconsistent);
}

TEST(MapleTree, WrongKindsOfNodes) {
    for (const unsigned type : {0u, 4u, 5u, 15u}) {
        Process p(true);
        p.root_node(p.leaf({{kLast, p.vma(0x1000, 0x2000)}}), type);
        const MappingList list = p.walk();
        EXPECT_EQ(list.report.end, WalkEnd::inconsistent) << type;
        EXPECT_TRUE(list.mappings.empty()) << type;
    }
}

TEST(MapleTree, PivotsThatDoNotRise) {
    Process p(true);
    p.root_node(p.leaf({{0x1fff, p.vma(0, 0x2000)}, {0xfff, p.vma(0x1000, 0x2000)}, {kLast, {}}}), kLeaf);
    const MappingList list = p.walk();
    EXPECT_EQ(list.report.end, WalkEnd::inconsistent);
    EXPECT_EQ(list.mappings.size(), 1u);
}

TEST(MapleTree, ALeafThatIsAnothersChild) {
    Process p(true);
    const Gva leaf = p.leaf({{0xfff, p.vma(0, 0x1000)}, {kLast, {}}});
    const Gva top = p.inner({{kLast, Process::child(leaf, kLeaf)}});
    p.root_node(top, kAlloc);
    p.put(leaf, leaf.value);  // as a node that was taken out has it
    EXPECT_EQ(p.walk().report.end, WalkEnd::inconsistent);
}

TEST(MapleTree, RootIntoNothing) {
    Process p(true);
    p.root(0xffff'c900'0000'0000 | kLeaf << 3 | 6);
    EXPECT_EQ(p.walk().report.end, WalkEnd::fault);
}

TEST(MapleTree, BudgetOfNodes) {
    Process p(true);
    std::vector<std::pair<std::uint64_t, Gva>> full;
    for (std::uint64_t i = 0; i < 15; ++i) full.emplace_back(i * 0x1000 + 0xfff, p.vma(i * 0x1000, (i + 1) * 0x1000));
    full.emplace_back(kLast, Gva{});
    p.root_node(p.leaf(full), kLeaf);
    const MappingList list = p.walk({5, std::chrono::milliseconds(1000)});
    EXPECT_EQ(list.report.end, WalkEnd::budget);
    EXPECT_LE(list.mappings.size(), 5u);
}

TEST(Mappings, WhatDoesNotFitTogetherIsSaid) {
    Process p(true);
    const Gva other = p.vma(0x5000, 0x6000);
    p.put(other.wrap_plus(72), kBase.value);  // of another mm_struct
    p.root_node(p.leaf({{0xfff, {}}, {0x2fff, p.vma(0x1000, 0x2000)}, {0x4fff, {}}, {0x5fff, other}, {kLast, {}}}),
                kLeaf);
    p.count(7);
    const MappingList list = p.walk();
    EXPECT_EQ(list.report.end, WalkEnd::complete);
    EXPECT_EQ(list.mappings.size(), 2u);
    EXPECT_THAT(list.oddities, ::testing::UnorderedElementsAre(::testing::HasSubstr("the tree"),
                                                               ::testing::HasSubstr("another process's"),
                                                               ::testing::HasSubstr("map_count")));
}

TEST(MappingList, InOrder) {
    Process p(false);
    p.link({p.vma(0x1000, 0x2000), p.vma(0x3000, 0x5000), p.vma(0x5000, 0x6000)});
    p.count(3);
    const MappingList list = p.walk();
    EXPECT_EQ(list.report.end, WalkEnd::complete);
    EXPECT_EQ(starts(list), (std::vector<std::uint64_t>{0x1000, 0x3000, 0x5000}));
    EXPECT_TRUE(list.oddities.empty());
}

TEST(MappingList, Loops) {
    for (const std::size_t back_to : {0u, 1u, 2u}) {
        Process p(false);
        const std::vector<Gva> list = {p.vma(0x1000, 0x2000), p.vma(0x3000, 0x5000), p.vma(0x5000, 0x6000)};
        p.link(list);
        p.put(list[2].wrap_plus(16), list[back_to].value);
        const MappingList first = p.walk();
        EXPECT_TRUE(first.report.end == WalkEnd::cycle || first.report.end == WalkEnd::inconsistent) << back_to;
        EXPECT_LE(first.mappings.size(), 12u);
        p.put(list[back_to].wrap_plus(24), list[2].value);  // with the way back forged
        const MappingList found = p.walk();
        EXPECT_TRUE(found.report.end == WalkEnd::cycle || found.report.end == WalkEnd::inconsistent) << back_to;
        EXPECT_LE(found.mappings.size(), 12u);
    }
}

TEST(MappingList, IntoNothing) {
    Process p(false);
    const std::vector<Gva> list = {p.vma(0x1000, 0x2000), p.vma(0x3000, 0x5000)};
    p.link(list);
    p.put(list[1].wrap_plus(16), 0xdead'beef'0000);
    const MappingList found = p.walk();
    EXPECT_EQ(found.report.end, WalkEnd::fault);
    EXPECT_EQ(found.mappings.size(), 2u);
}

}  // namespace
}  // namespace vitrine::test
