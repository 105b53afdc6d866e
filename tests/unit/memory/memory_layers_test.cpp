// Physical memory: defaults, layouts over stores, the page cache.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <random>

#include "support/synthetic_memory.h"
#include "support/vector_store.h"
#include "vitrine/memory/page_cache.h"
#include "vitrine/memory/ram_store.h"

namespace vitrine {
namespace {

using testing::SyntheticMemory;
using testing::VectorStore;

constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint64_t kFourGiB = 1ull << 32;

std::vector<std::byte> random_bytes(std::size_t size, unsigned seed = 1) {
    std::mt19937_64 random(seed);
    std::vector<std::byte> bytes(size);
    for (std::byte& b : bytes) b = static_cast<std::byte>(random());
    return bytes;
}

TEST(PhysicalMemoryDefaults, PopulatedIsTheCutWithRam) {
    SyntheticMemory memory(
        std::vector<MemoryRange>{{Gpa{0}, 0xa0000}, {Gpa{kMiB}, kMiB}, {Gpa{~0ull - 0xfff}, 0x1000}});
    EXPECT_EQ(memory.populated({Gpa{0x9f000}, kMiB}),
              (std::vector<MemoryRange>{{Gpa{0x9f000}, 0x1000}, {Gpa{kMiB}, 0x9f000}}));
    EXPECT_TRUE(memory.populated({Gpa{0xa0000}, 0x60000}).empty());
    EXPECT_TRUE(memory.populated({Gpa{0}, 0}).empty());
    EXPECT_EQ(memory.populated({Gpa{1}, ~0ull}).size(), 3u) << "up to the last address";
    EXPECT_EQ(memory.total_size(), 0xa0000u + kMiB + 0x1000);
}

TEST(PhysicalMemoryDefaults, StridedReadsPutZerosWhereNothingIs) {
    SyntheticMemory memory(std::vector<MemoryRange>{{Gpa{0x1000}, 0x2000}});
    memory.fill(Gpa{0x1000}, 0x2000, std::byte{7});
    std::vector<std::byte> out(5 * 4, std::byte{1});
    ASSERT_TRUE(memory.read_strided(Gpa{0}, 0x1000, 4, 5, out));
    std::vector<std::byte> expected(20);
    std::fill(expected.begin() + 4, expected.begin() + 12, std::byte{7});
    EXPECT_EQ(out, expected);
    EXPECT_FALSE(memory.read_strided(Gpa{0}, 0x1000, 4, 6, out)) << "out is too small";
    EXPECT_FALSE(memory.read_strided(Gpa{0}, 2, 4, 5, out)) << "pieces overlap";
}

TEST(Layout, WithHole) {
    EXPECT_EQ(MemoryLayout::with_hole(6ull << 30, 3ull << 30, "pc").extents,
              (std::vector<LayoutExtent>{{Gpa{0}, 3ull << 30, 0}, {Gpa{kFourGiB}, 3ull << 30, 3ull << 30}}));
    EXPECT_EQ(MemoryLayout::with_hole(kMiB, kMiB, "all").extents, (std::vector<LayoutExtent>{{Gpa{0}, kMiB, 0}}));
    EXPECT_EQ(MemoryLayout::with_hole(kMiB, 2 * kMiB, "all").extents, (std::vector<LayoutExtent>{{Gpa{0}, kMiB, 0}}));
    EXPECT_TRUE(MemoryLayout::with_hole(6ull << 30, 3ull << 30, "pc").validate(6ull << 30));
}

TEST(Layout, ValidationRefusesWhatCannotBe) {
    const auto valid = [](std::vector<LayoutExtent> extents) {
        return MemoryLayout{"x", std::move(extents), false}.validate(0x10000).has_value();
    };
    EXPECT_TRUE(valid({{Gpa{0}, 0x10000, 0}}));
    EXPECT_TRUE(valid({{Gpa{0}, 0x8000, 0}, {Gpa{0x8000}, 0x8000, 0}})) << "aliases in the store are allowed";
    EXPECT_FALSE(valid({}));
    EXPECT_FALSE(valid({{Gpa{0}, 0, 0}}));
    EXPECT_FALSE(valid({{Gpa{0}, 0x10001, 0}}));
    EXPECT_FALSE(valid({{Gpa{0}, 0x8000, 0xc000}}));
    EXPECT_FALSE(valid({{Gpa{0}, 0x8000, ~0ull}}));
    EXPECT_FALSE(valid({{Gpa{0}, 0x8000, 0}, {Gpa{0x7000}, 0x1000, 0}})) << "overlap";
    EXPECT_FALSE(valid({{Gpa{0x8000}, 0x1000, 0}, {Gpa{0}, 0x1000, 0}})) << "order";
    EXPECT_FALSE(valid({{Gpa{~0ull - 0xfff}, 0x2000, 0}})) << "wraps";
}

// GuestMemory over a store that is mapped, mapped in part, or reached by calls.
enum class Route { calls, mapped, some_pages };

class GuestMemoryRoutes : public ::testing::TestWithParam<Route> {
protected:
    static constexpr std::uint64_t kSize = 64 * kPageSize;
    GuestMemoryRoutes() : store(std::make_shared<VectorStore>(random_bytes(kSize), GetParam() != Route::calls)) {
        if (GetParam() == Route::some_pages) store->present = {0x0f0f'3333'5555'ff00};
    }
    // Holes, two ranges that touch with other bytes behind them, odd sizes, an alias.
    std::vector<LayoutExtent> extents{{Gpa{0x1000}, 0x3000, 0x2000},
                                      {Gpa{0x4000}, 0x1800, 0x10000},
                                      {Gpa{0x6000}, 0x2123, 0x20001},
                                      {Gpa{kFourGiB}, 0x3000, 0x2000}};
    std::optional<std::byte> expected(std::uint64_t address) const {
        for (const LayoutExtent& e : extents) {
            if (address - e.start.value < e.size) return store->bytes[e.offset + (address - e.start.value)];
        }
        return std::nullopt;
    }
    std::shared_ptr<VectorStore> store;
};

TEST_P(GuestMemoryRoutes, ReadsAreByteForByteRight) {
    GuestMemory memory(store, {"test", extents, true});
    std::mt19937_64 random(5);
    for (int i = 0; i < 3000; ++i) {
        const std::uint64_t base = random() % 8 == 0 ? kFourGiB : 0;
        const std::uint64_t at = base + random() % 0x9000;
        std::vector<std::byte> out(random() % 4 == 0 ? random() % 0x4000 : random() % 16);
        const bool ok = memory.read(Gpa{at}, out).has_value();
        bool all_there = true;
        for (std::size_t k = 0; k < out.size(); ++k) {
            const auto byte = expected(at + k);
            all_there = all_there && byte.has_value();
            if (ok && byte) {
                ASSERT_EQ(out[k], *byte);
            }
        }
        ASSERT_EQ(ok, all_there) << std::hex << at << "+" << out.size();
    }
}

TEST_P(GuestMemoryRoutes, BatchesHaveOutcomesOfTheirOwn) {
    GuestMemory memory(store, {"test", extents, true});
    std::mt19937_64 random(6);
    std::vector<std::vector<std::byte>> buffers(1500);
    std::vector<ReadOp> ops;
    for (auto& buffer : buffers) {
        buffer.resize(random() % 3000);
        ops.push_back({Gpa{random() % 0x9000}, buffer});
    }
    ASSERT_TRUE(memory.read(ops));
    std::size_t good = 0;
    for (const ReadOp& op : ops) {
        bool all_there = true;
        for (std::size_t k = 0; k < op.out.size(); ++k) {
            const auto byte = expected(op.address.value + k);
            all_there = all_there && byte.has_value();
            if (op.ok && byte) {
                ASSERT_EQ(op.out[k], *byte);
            }
        }
        ASSERT_EQ(op.ok, all_there);
        if (!op.ok) {
            EXPECT_EQ(op.status, Errc::fault);
        }
        good += op.ok ? 1 : 0;
    }
    EXPECT_GT(good, 100u);
    EXPECT_LT(good, 1400u);
}

TEST_P(GuestMemoryRoutes, StridedReadsAgreeWithSingleOnes) {
    GuestMemory memory(store, {"test", extents, true});
    std::mt19937_64 random(7);
    for (int i = 0; i < 400; ++i) {
        const std::uint64_t start = random() % 0x7000;
        const std::uint64_t stride = 1 + random() % (random() % 2 == 0 ? 64 : 0x1800);
        const auto width = static_cast<std::uint32_t>(1 + random() % std::min<std::uint64_t>(stride, 40));
        const std::size_t count = 1 + random() % 200;
        std::vector<std::byte> out(width * count, std::byte{0xee});
        ASSERT_TRUE(memory.read_strided(Gpa{start}, stride, width, count, out));
        for (std::size_t k = 0; k < count; ++k) {
            std::vector<std::byte> one(width);
            if (!memory.read(Gpa{start + k * stride}, one)) one.assign(width, std::byte{0});
            ASSERT_TRUE(std::equal(one.begin(), one.end(), out.begin() + static_cast<std::ptrdiff_t>(k * width)))
                << std::hex << start << " stride " << stride << " width " << width << " piece " << k;
        }
    }
}

TEST_P(GuestMemoryRoutes, RangesMergeOnlyWhereTheStoreContinues) {
    extents = {{Gpa{0}, 0x1000, 0},
               {Gpa{0x1000}, 0x1000, 0x1000},
               {Gpa{0x2000}, 0x1000, 0x8000},
               {Gpa{0x4000}, 0x1000, 0x9000}};
    GuestMemory memory(store, {"test", extents, true});
    const auto ranges = memory.ranges();
    ASSERT_EQ(ranges.size(), 3u);
    EXPECT_EQ(ranges[0], (MemoryRange{Gpa{0}, 0x2000}));
    EXPECT_EQ(ranges[1], (MemoryRange{Gpa{0x2000}, 0x1000}));
    memory.set_layout({"other", {{Gpa{0x5000}, 0x1000, 0}}, true});
    EXPECT_FALSE(memory.read_value<std::uint8_t>(Gpa{0}));
    ASSERT_TRUE(memory.read_value<std::uint8_t>(Gpa{0x5000}));
    EXPECT_EQ(*memory.read_value<std::uint8_t>(Gpa{0x5000}), std::to_integer<std::uint8_t>(store->bytes[0]));
}

TEST_P(GuestMemoryRoutes, PopulatedIsTranslatedToGuestAddresses) {
    store->parts = {{0x2800, 0x400}, {0x10000, 0x100}, {0x20000, 0x10000}};
    GuestMemory memory(store, {"test", extents, true});
    EXPECT_EQ(memory.populated({Gpa{0}, ~0ull}),
              (std::vector<MemoryRange>{
                  {Gpa{0x1800}, 0x400}, {Gpa{0x4000}, 0x100}, {Gpa{0x6000}, 0x2123}, {Gpa{kFourGiB + 0x800}, 0x400}}));
    EXPECT_EQ(memory.populated({Gpa{0x1900}, 0x10}), (std::vector<MemoryRange>{{Gpa{0x1900}, 0x10}}));
}

INSTANTIATE_TEST_SUITE_P(Stores, GuestMemoryRoutes, ::testing::Values(Route::calls, Route::mapped, Route::some_pages),
                         [](const auto& suite) {
                             return suite.param == Route::calls    ? "calls"
                                    : suite.param == Route::mapped ? "mapped"
                                                                   : "some_pages";
                         });

TEST(GuestMemoryMapped, ATaintedMappingIsNotTrusted) {
    auto store = std::make_shared<VectorStore>(random_bytes(0x4000), true);
    GuestMemory memory(store, MemoryLayout::with_hole(0x4000, 0x4000, "all"));
    ASSERT_TRUE(memory.read_value<std::uint64_t>(Gpa{0x100}));
    EXPECT_EQ(store->calls, 0u);
    store->tainted = 1;
    ASSERT_TRUE(memory.read_value<std::uint64_t>(Gpa{0x100}));
    EXPECT_EQ(store->calls, 1u);
}

TEST(StoreStrided, ReadsOnlyPopulatedParts) {
    VectorStore store(random_bytes(16 * kMiB));
    store.parts = {{kMiB, kMiB}, {5 * kMiB + 100, 1}};
    std::vector<std::byte> out(8 * (16 * kMiB / kPageSize), std::byte{0xee});
    ASSERT_TRUE(store.read_strided(0, kPageSize, 8, 16 * kMiB / kPageSize, out));
    EXPECT_LE(store.operations, 3u);
    for (std::size_t page = 0; page < 16 * kMiB / kPageSize; ++page) {
        const bool there = page >= 256 && page < 512;
        const std::byte expected = there ? store.bytes[page * kPageSize + 3] : std::byte{0};
        ASSERT_EQ(out[8 * page + 3], expected) << page;
    }
}

TEST(PageCacheTest, ReadsAPageOncePerGeneration) {
    SyntheticMemory memory(kMiB);
    memory.write_value<std::uint64_t>(Gpa{0x5008}, 42);
    PageCache cache(memory);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(cache.read_value<std::uint64_t>(Gpa{0x5008}).value(), 42u);
    EXPECT_EQ(memory.operations, 1u);
    memory.write_value<std::uint64_t>(Gpa{0x5008}, 43);
    EXPECT_EQ(cache.read_value<std::uint64_t>(Gpa{0x5008}).value(), 42u) << "within a generation a page reads the same";
    cache.new_generation();
    EXPECT_EQ(memory.generations, 1u);
    EXPECT_EQ(cache.read_value<std::uint64_t>(Gpa{0x5008}).value(), 43u);
}

TEST(PageCacheTest, AgreesWithTheInnerMemoryAndBatchesMisses) {
    SyntheticMemory memory(std::vector<MemoryRange>{{Gpa{0}, 0x20800}, {Gpa{0x30000}, 0x10000}});
    std::mt19937_64 random(9);
    memory.write(Gpa{0}, random_bytes(0x20800, 2));
    memory.write(Gpa{0x30000}, random_bytes(0x10000, 3));
    PageCache cache(memory, 130);
    for (int round = 0; round < 200; ++round) {
        std::vector<std::vector<std::byte>> a(40), b(40);
        std::vector<ReadOp> ops, truth;
        for (std::size_t i = 0; i < a.size(); ++i) {
            const std::size_t size = random() % 16 == 0 ? random() % (PageCache::kBypass + 9000) : random() % 5000;
            a[i].resize(size);
            b[i].resize(size);
            const Gpa at{random() % 0x42000};
            ops.push_back({at, a[i]});
            truth.push_back({at, b[i]});
        }
        ASSERT_TRUE(cache.read(ops));
        ASSERT_TRUE(memory.read(truth));
        for (std::size_t i = 0; i < a.size(); ++i) {
            ASSERT_EQ(ops[i].ok, truth[i].ok) << std::hex << ops[i].address.value << "+" << a[i].size();
            if (ops[i].ok) {
                ASSERT_EQ(a[i], b[i]);
            }
        }
        if (random() % 10 == 0) cache.new_generation();
    }
    cache.new_generation();
    memory.calls = 0;
    std::array<std::array<std::byte, 8>, 60> bytes;
    std::vector<ReadOp> ops;
    for (std::size_t i = 0; i < bytes.size(); ++i) ops.push_back({Gpa{(i % 30) * kPageSize}, bytes[i]});
    ASSERT_TRUE(cache.read(ops));
    EXPECT_EQ(memory.calls, 1u) << "30 missing pages in one call";
}

TEST(PageCacheTest, SourceGoneIsPassedOn) {
    SyntheticMemory memory(kMiB);
    PageCache cache(memory);
    memory.gone = true;
    auto got = cache.read_value<std::uint32_t>(Gpa{0});
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, Errc::stale);
}

}  // namespace
}  // namespace vitrine
