// 16 MiB images made to exhaust a reader: page tables that map themselves, and one frame mapped a thousand times with a
// string that never ends. Time and memory stay bounded, and the answer says how it ended.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <cstring>

#include "support/page_table_builder.h"
#include "support/vector_store.h"
#include "vitrine/memory/address_space.h"

namespace vitrine {
namespace {

using testing::PageTableBuilder;
using testing::VectorStore;

constexpr std::size_t kImage = 16u << 20;
constexpr auto kMode = PagingMode::x86_64_4level;

class HostileImage : public ::testing::TestWithParam<bool> {  // mapped, or read by calls
public:
    HostileImage()
        : store(std::make_shared<VectorStore>(std::vector<std::byte>(kImage), GetParam())),
          memory(store, MemoryLayout::with_hole(kImage, kImage, "all")),
          start(std::chrono::steady_clock::now()) {}

    void write(std::uint64_t at, std::uint64_t value) { std::memcpy(store->bytes.data() + at, &value, sizeof value); }
    [[nodiscard]] std::uint64_t read(std::uint64_t at) const { return load<std::uint64_t>(store->bytes.data() + at); }

    template <class T>
    void write_value(Gpa at, T value) {
        std::memcpy(store->bytes.data() + at.value, &value, sizeof value);
    }
    template <class T>
    Result<T> read_value(Gpa at) {
        return load<T>(store->bytes.data() + at.value);
    }

    static std::size_t peak_kib() {
        rusage usage{};
        getrusage(RUSAGE_SELF, &usage);
        return static_cast<std::size_t>(usage.ru_maxrss);
    }
    void expect_quick() const { EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10)); }

    std::shared_ptr<VectorStore> store;
    GuestMemory memory;
    std::chrono::steady_clock::time_point start;
};

TEST_P(HostileImage, TopTableWhoseEntriesAllPointAtItself) {
    for (std::uint64_t i = 0; i < 512; ++i) write(0x1000 + 8 * i, 0x1000 | 0x67);
    const std::size_t before = peak_kib();
    std::size_t runs = 0;
    const auto report = for_each_mapping(memory, kMode, Gpa{0x1000}, Gva{0}, Gva{~0ull}, {},
                                         [&](const MappedRun&) { return ++runs, true; });
    EXPECT_EQ(report.end, WalkEnd::budget);
    EXPECT_LE(report.nodes, WalkBudget{}.nodes);
    EXPECT_LE(runs, report.nodes);
    expect_quick();
    EXPECT_LT(peak_kib() - before, 4096u);
    // Each address translates, to the table itself: true, and no more than that.
    auto got = translate(memory, kMode, Gpa{0x1000}, Gva{0xffff'ffff'8100'0000});
    ASSERT_TRUE(got);
    EXPECT_EQ(got->address.value, 0x1000u);
}

TEST_P(HostileImage, TimeBudgetEndsTheWalk) {
    for (std::uint64_t i = 0; i < 512; ++i) write(0x1000 + 8 * i, 0x1000 | 0x67);
    const WalkBudget budget{~std::size_t{0}, std::chrono::milliseconds(50)};
    const auto report = for_each_mapping(memory, kMode, Gpa{0x1000}, Gva{0}, Gva{~0ull}, budget,
                                         [](const MappedRun&) { return true; });
    EXPECT_EQ(report.end, WalkEnd::budget);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(3));
}

TEST_P(HostileImage, AliasedFrameAndAStringWithoutEnd) {
    // 2 GiB of addresses, all of one 2 MiB frame that holds no zero byte.
    PageTableBuilder tables(*this, kMode, Gpa{0x1000});
    constexpr std::uint64_t kFrame = 8u << 20;
    for (std::uint64_t i = 0; i < 1024; ++i)
        tables.map(Gva{0xffff'8880'0000'0000 + i * (2u << 20)}, Gpa{kFrame}, 2u << 20);
    std::memset(store->bytes.data() + kFrame, 'A', 2u << 20);
    const AddressSpace space(memory, kMode, tables.root());
    const std::size_t before = peak_kib();
    for (const std::size_t limit : {std::size_t{16}, std::size_t{4096}, std::size_t{128 * 1024}}) {
        auto text = space.read_c_string(Gva{0xffff'8880'0000'0123}, limit);
        ASSERT_TRUE(text);
        EXPECT_TRUE(text->truncated);
        EXPECT_EQ(text->bytes.size(), limit);
    }
    EXPECT_LT(peak_kib() - before, 4096u);
    std::size_t runs = 0;
    const auto report = for_each_mapping(memory, kMode, tables.root(), Gva{0}, Gva{~0ull}, {},
                                         [&](const MappedRun&) { return ++runs, true; });
    EXPECT_EQ(report.end, WalkEnd::complete);
    EXPECT_EQ(runs, 1024u);
    expect_quick();
}

TEST_P(HostileImage, EveryTableAliasesEveryOther) {
    // 15 tables of 512 entries each, all pointing at one another: more paths than there are atoms to count them with.
    for (std::uint64_t table = 1; table < 16; ++table) {
        for (std::uint64_t i = 0; i < 512; ++i) write(table * 0x1000 + 8 * i, ((1 + (table + i) % 15) * 0x1000) | 0x67);
    }
    const auto report = for_each_mapping(memory, PagingMode::x86_64_5level, Gpa{0x1000}, Gva{0}, Gva{~0ull},
                                         {100'000, std::chrono::seconds(5)}, [](const MappedRun&) { return true; });
    EXPECT_EQ(report.end, WalkEnd::budget);
    EXPECT_EQ(report.nodes, 100'000u);
    expect_quick();
}

INSTANTIATE_TEST_SUITE_P(Stores, HostileImage, ::testing::Bool(),
                         [](const auto& suite) { return suite.param ? "mapped" : "by_call"; });

}  // namespace
}  // namespace vitrine
