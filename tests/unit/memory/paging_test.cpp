#include "vitrine/memory/paging.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <random>

#include "support/page_table_builder.h"
#include "support/synthetic_memory.h"

namespace vitrine {
namespace {

using testing::PageTableBuilder;
using testing::SyntheticMemory;

constexpr std::uint64_t kMiB = 1u << 20;

TEST(Canonical, HalvesOfTheAddressSpace) {
    EXPECT_TRUE(is_canonical(PagingMode::x86_64_4level, Gva{0x7fff'ffff'ffff}));
    EXPECT_FALSE(is_canonical(PagingMode::x86_64_4level, Gva{0x8000'0000'0000}));
    EXPECT_FALSE(is_canonical(PagingMode::x86_64_4level, Gva{0xffff'7fff'ffff'ffff}));
    EXPECT_TRUE(is_canonical(PagingMode::x86_64_4level, Gva{0xffff'8000'0000'0000}));
    EXPECT_TRUE(is_canonical(PagingMode::x86_64_4level, Gva{~0ull}));
    EXPECT_TRUE(is_canonical(PagingMode::x86_64_5level, Gva{0x00ff'ffff'ffff'ffff}));
    EXPECT_FALSE(is_canonical(PagingMode::x86_64_5level, Gva{0x0100'0000'0000'0000}));
    EXPECT_TRUE(is_canonical(PagingMode::x86_64_5level, Gva{0xff00'0000'0000'0000}));
    for (const PagingMode mode : {PagingMode::x86_32, PagingMode::x86_pae, PagingMode::none}) {
        EXPECT_TRUE(is_canonical(mode, Gva{0xffff'ffff}));
        EXPECT_FALSE(is_canonical(mode, Gva{0x1'0000'0000}));
    }
}

TEST(ModeFromRegisters, AllFive) {
    constexpr std::uint64_t kPg = 1u << 31, kPae = 1u << 5, kLa57 = 1u << 12, kLma = 1u << 10, kLme = 1u << 8;
    EXPECT_EQ(paging_mode_from_registers(0x11, kPae, kLme), PagingMode::none);
    EXPECT_EQ(paging_mode_from_registers(kPg | 1, 0, 0), PagingMode::x86_32);
    EXPECT_EQ(paging_mode_from_registers(kPg | 1, kPae, 0), PagingMode::x86_pae);
    EXPECT_EQ(paging_mode_from_registers(kPg | 1, kPae, kLma | kLme), PagingMode::x86_64_4level);
    EXPECT_EQ(paging_mode_from_registers(kPg | 1, kPae | kLa57, kLma | kLme), PagingMode::x86_64_5level);
}

TEST(Translate, WithoutPagingIsTheIdentity) {
    SyntheticMemory memory(kMiB);
    auto got = translate(memory, PagingMode::none, Gpa{0}, Gva{0x1234'5678});
    ASSERT_TRUE(got);
    EXPECT_EQ(got->address.value, 0x1234'5678u);
    EXPECT_FALSE(translate(memory, PagingMode::none, Gpa{0}, Gva{0x1'0000'0000}));
}

TEST(Translate, IgnoresFlagBitsOfTheControlRegister) {
    SyntheticMemory memory(kMiB);
    PageTableBuilder tables(memory, PagingMode::x86_64_4level, Gpa{0x1000});
    tables.map(Gva{0x7000}, Gpa{0x9000});
    for (const std::uint64_t bits : {0x18ull, 0x8000'0000'0000'0001ull, 0xfffull}) {  // PWT/PCD, PCID and "no flush"
        auto got = translate(memory, PagingMode::x86_64_4level, Gpa{tables.root().value | bits}, Gva{0x7000});
        ASSERT_TRUE(got);
        EXPECT_EQ(got->address.value, 0x9000u);
    }
}

TEST(Translate, SourceGoneIsToldAsSuch) {
    SyntheticMemory memory(kMiB);
    memory.gone = true;
    auto got = translate(memory, PagingMode::x86_64_4level, Gpa{0x1000}, Gva{0});
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, Errc::stale);
    const auto report = for_each_mapping(memory, PagingMode::x86_64_4level, Gpa{0x1000}, Gva{0}, Gva{~0ull}, {},
                                         [](const MappedRun&) { return true; });
    EXPECT_EQ(report.end, WalkEnd::fault);
}

// Every address inside a run translates to where the run says; addresses beside runs do not translate.
void expect_agreement(SyntheticMemory& memory, PagingMode mode, Gpa root, Gva first, Gva last) {
    std::uint64_t covered_to = first.value;
    const auto mapped = [&](std::uint64_t va) { return translate(memory, mode, root, Gva{va}).has_value(); };
    const auto visit = [&](const MappedRun& run) {
        for (const std::uint64_t inside : {std::uint64_t{0}, run.size / 2, run.size - 1}) {
            auto got = translate(memory, mode, root, run.va.wrap_plus(inside));
            EXPECT_TRUE(got.has_value());
            if (!got) return false;
            EXPECT_EQ(got->address.value, run.pa.value + inside);
            EXPECT_EQ(got->writable, run.writable);
            EXPECT_EQ(got->user, run.user);
            EXPECT_EQ(got->executable, run.executable);
        }
        EXPECT_GE(run.va.value, covered_to) << "runs go up";
        if (run.va.value > covered_to) {
            EXPECT_FALSE(mapped(covered_to)) << std::hex << covered_to;
            EXPECT_FALSE(mapped(run.va.value - 1)) << std::hex << run.va.value - 1;
        }
        covered_to = run.va.value + run.size;
        return true;
    };
    const auto report = for_each_mapping(memory, mode, root, first, last, {}, visit);
    EXPECT_EQ(report.end, WalkEnd::complete);
}

class RandomTables : public ::testing::TestWithParam<PagingMode> {};

TEST_P(RandomTables, EnumerationAgreesWithTranslation) {
    const PagingMode mode = GetParam();
    std::mt19937_64 random(20231 + static_cast<unsigned>(mode));
    for (int round = 0; round < 30; ++round) {
        SyntheticMemory memory(std::vector<MemoryRange>{{Gpa{0}, 64 * kMiB}});
        PageTableBuilder tables(memory, mode, Gpa{0x10000});
        const unsigned top = tables.top_level();
        const std::uint64_t span = top == 5 ? 1ull << 56 : top == 4 ? 1ull << 47 : 1ull << 32;
        std::uint64_t cursor = 0;
        for (int i = 0; i < 60; ++i) {
            // Rising addresses, so that no large page covers a table that is there already.
            const bool large = random() % 4 == 0;
            const std::uint64_t size = large ? tables.size_of(2) : kPageSize;
            cursor = (cursor + random() % (random() % 2 == 0 ? 8 * size : span / 64) + size - 1) / size * size;
            if (cursor + size > span) break;
            const std::uint64_t flags =
                (random() & 6) | (mode != PagingMode::x86_32 && random() % 2 == 0 ? PageTableBuilder::kNoExecute : 0);
            tables.map(Gva{cursor}, Gpa{random() % 512 * size}, size, flags);
            cursor += size;
            cursor = large ? (cursor + tables.size_of(2) - 1) & ~(tables.size_of(2) - 1) : cursor;
        }
        const bool is_64 = top >= 4;
        expect_agreement(memory, mode, tables.root(), Gva{0}, Gva{is_64 ? span - 1 : 0xffff'ffff});
    }
}

TEST_P(RandomTables, AWindowIsACutOfTheWhole) {
    const PagingMode mode = GetParam();
    std::mt19937_64 random(77);
    SyntheticMemory memory(std::vector<MemoryRange>{{Gpa{0}, 64 * kMiB}});
    PageTableBuilder tables(memory, mode, Gpa{0x10000});
    tables.map_range(Gva{0x10'0000}, Gpa{0x40'0000}, 64 * kPageSize);
    tables.map(Gva{0x80'0000}, Gpa{0x80'0000}, tables.size_of(2));
    for (int i = 0; i < 200; ++i) {
        std::uint64_t a = random() % 0x100'0000, b = random() % 0x100'0000;
        if (a > b) std::swap(a, b);
        std::uint64_t bytes = 0;
        const auto visit = [&](const MappedRun& run) {
            EXPECT_GE(run.va.value, a & ~(kPageSize - 1));
            EXPECT_LE(run.va.value + run.size - 1, b | (kPageSize - 1));
            EXPECT_EQ(translate(memory, mode, tables.root(), run.va)->address.value, run.pa.value);
            bytes += run.size;
            return true;
        };
        for_each_mapping(memory, mode, tables.root(), Gva{a}, Gva{b}, {}, visit);
        std::uint64_t expected = 0;
        for (std::uint64_t va = a & ~(kPageSize - 1); va <= b; va += kPageSize) {
            expected += translate(memory, mode, tables.root(), Gva{va}) ? kPageSize : 0;
        }
        EXPECT_EQ(bytes, expected);
    }
}

INSTANTIATE_TEST_SUITE_P(Modes, RandomTables,
                         ::testing::Values(PagingMode::x86_32, PagingMode::x86_pae, PagingMode::x86_64_4level,
                                           PagingMode::x86_64_5level),
                         [](const auto& suite) {
                             std::string name(to_string(suite.param));
                             std::replace(name.begin(), name.end(), '-', '_');
                             return name;
                         });

TEST(ForEachMapping, StopsWhenTold) {
    SyntheticMemory memory(kMiB);
    PageTableBuilder tables(memory, PagingMode::x86_64_4level, Gpa{0x1000});
    for (std::uint64_t i = 0; i < 8; ++i) tables.map(Gva{i * 0x2000}, Gpa{0x9000});
    std::size_t seen = 0;
    const auto report = for_each_mapping(memory, PagingMode::x86_64_4level, tables.root(), Gva{0}, Gva{~0ull}, {},
                                         [&](const MappedRun&) { return ++seen < 3; });
    EXPECT_EQ(seen, 3u);
    EXPECT_EQ(report.end, WalkEnd::stopped);
}

TEST(ForEachMapping, CrossesTheCanonicalGapAndReachesTheLastByte) {
    SyntheticMemory memory(kMiB);
    PageTableBuilder tables(memory, PagingMode::x86_64_4level, Gpa{0x1000});
    tables.map(Gva{0x7fff'ffff'f000}, Gpa{0x9000});
    tables.map(Gva{0xffff'8000'0000'0000}, Gpa{0xa000});  // contiguous in physical memory, not in virtual
    tables.map(Gva{0xffff'ffff'ffff'f000}, Gpa{0xb000});
    std::vector<Gva> seen;
    const auto visit = [&](const MappedRun& run) {
        EXPECT_EQ(run.size, kPageSize);
        seen.push_back(run.va);
        return true;
    };
    for_each_mapping(memory, PagingMode::x86_64_4level, tables.root(), Gva{0}, Gva{~0ull}, {}, visit);
    EXPECT_EQ(seen, (std::vector{Gva{0x7fff'ffff'f000}, Gva{0xffff'8000'0000'0000}, Gva{0xffff'ffff'ffff'f000}}));
    seen.clear();
    for_each_mapping(memory, PagingMode::x86_64_4level, tables.root(), Gva{0x8000'0000'0000},
                     Gva{0xffff'8000'0000'0fff}, {}, visit);
    EXPECT_EQ(seen, (std::vector{Gva{0xffff'8000'0000'0000}}));
}

TEST(ForEachMapping, WithoutPagingShowsRam) {
    SyntheticMemory memory(
        std::vector<MemoryRange>{{Gpa{0}, 0xa0000}, {Gpa{0x10'0000}, kMiB}, {Gpa{1ull << 32}, kMiB}});
    std::vector<MappedRun> runs;
    const auto report = for_each_mapping(memory, PagingMode::none, Gpa{0}, Gva{0x1000}, Gva{~0ull}, {},
                                         [&](const MappedRun& run) {
                                             runs.push_back(run);
                                             return true;
                                         });
    EXPECT_EQ(report.end, WalkEnd::complete);
    ASSERT_EQ(runs.size(), 2u);
    EXPECT_EQ(runs[0], (MappedRun{Gva{0x1000}, Gpa{0x1000}, 0x9f000, true, true, true}));
    EXPECT_EQ(runs[1], (MappedRun{Gva{0x10'0000}, Gpa{0x10'0000}, kMiB, true, true, true}));
}

// A kernel's direct map of 64 GiB in 2 MiB pages, and 32,768 small pages: the budget is not in the way.
TEST(ForEachMapping, HonestKernelFitsTheBudget) {
    SyntheticMemory memory(std::vector<MemoryRange>{{Gpa{0}, 1024 * kMiB}});
    PageTableBuilder tables(memory, PagingMode::x86_64_4level, Gpa{0x10000});
    tables.map_range(Gva{0xffff'8880'0000'0000}, Gpa{0}, 64ull << 30, 2 * kMiB);
    tables.map_range(Gva{0xffff'c900'0000'0000}, Gpa{16 * kMiB}, 32768 * kPageSize);
    std::size_t runs = 0;
    const auto report = for_each_mapping(memory, PagingMode::x86_64_4level, tables.root(), Gva{1ull << 63}, Gva{~0ull},
                                         {}, [&](const MappedRun&) { return ++runs, true; });
    EXPECT_EQ(report.end, WalkEnd::complete);
    EXPECT_EQ(runs, 2u);
}

}  // namespace
}  // namespace vitrine
