// Which mappings of an unknown monitor are taken for guest RAM, and how the right layout is told from the others.
#include <gtest/gtest.h>

#include "sources/kvm/ram_candidates.h"
#include "support/page_table_builder.h"
#include "support/synthetic_memory.h"

namespace vitrine {
namespace {

constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint64_t kGiB = 1u << 30;

HostMapping mapping(std::uint64_t start, std::uint64_t size, const char* rights = "rw", std::string path = "") {
    HostMapping m;
    m.start = start;
    m.end = start + size;
    m.readable = rights[0] == 'r';
    m.writable = rights[0] != '\0' && rights[1] == 'w';
    m.inode = path.empty() || path.front() == '[' ? 0 : 7;
    m.path = std::move(path);
    return m;
}

TEST(KvmCandidates, LargestWritableMappingsWithoutStacksAndHeap) {
    const std::vector<HostMapping> maps{
        mapping(0x10000, 64 * kMiB, "rw", "[heap]"),
        mapping(0x7f00'0000'0000, 4096, "--"),
        mapping(0x7f00'0000'1000, 8 * kMiB),  // a thread's stack
        mapping(0x7f10'0000'0000, 256 * kMiB),
        mapping(0x7f20'0000'0000, 512 * kMiB, "r-", "/usr/lib/big"),
        mapping(0x7f30'0000'0000, 128 * kMiB, "rw", "/memfd:guest (deleted)"),
        mapping(0x7f40'0000'0000, 3 * kMiB, "rw", "anon_inode:kvm-vcpu:0"),
        mapping(0x7f50'0000'0000, 1 * kMiB),
        mapping(0x7ffc'0000'0000, 132 * 1024, "rw", "[stack]"),
    };
    const auto found = find_ram_candidates(maps);
    ASSERT_EQ(found.size(), 2u);
    EXPECT_EQ(found[0], (RamCandidate{0x7f10'0000'0000, 256 * kMiB, 0}));
    EXPECT_EQ(found[1], (RamCandidate{0x7f30'0000'0000, 128 * kMiB, 256 * kMiB}));
}

TEST(KvmCandidates, AtMostSoMany) {
    std::vector<HostMapping> maps;
    for (std::uint64_t i = 0; i < 100; ++i) maps.push_back(mapping(0x7f00'0000'0000 + i * kGiB, 16 * kMiB + i * kMiB));
    const auto found = find_ram_candidates(maps);
    EXPECT_EQ(found.size(), kMaxRamCandidates);
    EXPECT_EQ(found.front().size, 115 * kMiB);
}

TEST(KvmCandidates, RamBesideMappingsOfTheMonitorsOwn) {
    // A megabyte of the monitor's own ends where RAM begins: once told apart by the kernel's list, once merged into one mapping.
    constexpr std::uint64_t kRam = 0x7f10'0020'0000;
    for (const bool merged : {false, true}) {
        std::vector<HostMapping> maps;
        if (merged) {
            maps.push_back(mapping(kRam - kMiB, 257 * kMiB));
        } else {
            maps.push_back(mapping(kRam - kMiB, kMiB));
            maps.push_back(mapping(kRam, 256 * kMiB));
        }
        const auto whole = find_ram_candidates(maps);
        ASSERT_EQ(whole.size(), 1u);
        const auto parts = with_parts(whole, maps);
        EXPECT_EQ(parts.size(), 2u) << merged;
        EXPECT_EQ(parts.front(), whole.front());
        EXPECT_EQ(parts.back(), (RamCandidate{kRam, 256 * kMiB, kMiB})) << merged;
        for (const MemoryLayout& layout : layouts_of(parts)) EXPECT_TRUE(layout.validate(257 * kMiB)) << layout.name;
    }
}

TEST(KvmCandidates, LayoutsAreValid) {
    const std::vector<RamCandidate> candidates{
        {0x1000, 5 * kGiB, 0}, {0x2000, 3 * kGiB, 5 * kGiB}, {0x3000, 64 * kMiB, 8 * kGiB}};
    const std::uint64_t total = 8 * kGiB + 64 * kMiB;
    const auto layouts = layouts_of(candidates);
    ASSERT_FALSE(layouts.empty());
    bool whole = false;
    bool pair = false;
    for (const MemoryLayout& layout : layouts) {
        EXPECT_TRUE(layout.validate(total)) << layout.name;
        EXPECT_FALSE(layout.certain);
        whole = whole || layout.extents == std::vector<LayoutExtent>{{Gpa{0}, 64 * kMiB, 8 * kGiB}};
        pair = pair ||
               layout.extents == std::vector<LayoutExtent>{{Gpa{0}, 3 * kGiB, 5 * kGiB}, {Gpa{4 * kGiB}, 5 * kGiB, 0}};
    }
    EXPECT_TRUE(whole && pair);
}

VcpuState running(Gpa root) {
    VcpuState vcpu;
    vcpu.cr0 = 0x80050033;
    vcpu.cr4 = 0x20;
    vcpu.efer = 0xd01;
    vcpu.cr3 = root.value | 0x18;
    vcpu.rip = 0xffffffff81000123;
    vcpu.idt.base = 0xfffffe0000000000;
    vcpu.gdt.base = 0xfffffe0000001000;
    vcpu.gs_base = 0xffff888000000000;
    return vcpu;
}

TEST(KvmCandidates, TheVcpusPageTablesTellItsMemory) {
    testing::SyntheticMemory memory(64 * kMiB);
    testing::PageTableBuilder tables(memory, PagingMode::x86_64_4level, Gpa{0x100000});
    const VcpuState vcpu = running(tables.root());
    EXPECT_EQ(count_reachable(memory, vcpu), 0u);
    tables.map(Gva{vcpu.idt.base}, Gpa{0x3000});
    EXPECT_EQ(count_reachable(memory, vcpu), 0u) << "without the instruction's page the rest means nothing";
    tables.map(Gva{0xffffffff81000000}, Gpa{0x200000}, 2 * kMiB);
    EXPECT_EQ(count_reachable(memory, vcpu), 2u);
    tables.map(Gva{vcpu.gdt.base}, Gpa{0x4000});
    tables.map(Gva{vcpu.gs_base}, Gpa{64 * kMiB});  // outside of this memory
    EXPECT_EQ(count_reachable(memory, vcpu), 3u);
    VcpuState without_paging = vcpu;
    without_paging.cr0 = 0x10;
    EXPECT_EQ(count_reachable(memory, without_paging), 0u);
}

}  // namespace
}  // namespace vitrine
