#include "vitrine/memory/address_space.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>

#include "support/page_table_builder.h"
#include "support/synthetic_memory.h"
#include "support/vector_store.h"
#include "vitrine/memory/page_cache.h"

namespace vitrine {
namespace {

using testing::PageTableBuilder;
using testing::SyntheticMemory;
using testing::VectorStore;

constexpr std::uint64_t kMiB = 1u << 20;
constexpr auto kMode = PagingMode::x86_64_4level;

// Writes page tables into a store's bytes.
struct StoreWriter {
    VectorStore& store;
    template <class T>
    void write_value(Gpa at, T value) {
        std::memcpy(store.bytes.data() + at.value, &value, sizeof value);
    }
    template <class T>
    Result<T> read_value(Gpa at) {
        return load<T>(store.bytes.data() + at.value);
    }
};

enum class Over { calls, mapped, cached };

// 16 MiB of guest with a patchwork of mappings at kBase: 4 KiB and 2 MiB pages in shuffled order, and holes.
class Reading : public ::testing::TestWithParam<Over> {
protected:
    static constexpr std::uint64_t kSize = 16 * kMiB;
    static constexpr std::uint64_t kBase = 0xffff'8880'0000'0000;
    static constexpr std::uint64_t kPages = 1024;  // of virtual space after kBase

    Reading() : store(std::make_shared<VectorStore>(std::vector<std::byte>(kSize), GetParam() == Over::mapped)) {
        std::mt19937_64 random(3);
        for (std::byte& b : store->bytes) b = static_cast<std::byte>(random());
        std::fill(store->bytes.begin(), store->bytes.begin() + kMiB, std::byte{0});
        StoreWriter writer{*store};
        PageTableBuilder tables(writer, kMode, Gpa{0x1000});
        for (std::uint64_t page = 0; page < 512; ++page) {
            if (page % 97 == 50) continue;  // a hole
            // Runs of contiguous frames, broken at times.
            const std::uint64_t frame = 4 * kMiB / kPageSize + (page % 32 == 0 ? random() % 1024 : 0) + page;
            tables.map(Gva{kBase + page * kPageSize}, Gpa{frame * kPageSize});
            frames[page] = frame * kPageSize;
        }
        tables.map(Gva{kBase + 512 * kPageSize}, Gpa{8 * kMiB}, 2 * kMiB);
        for (std::uint64_t page = 512; page < kPages; ++page) frames[page] = 8 * kMiB + (page - 512) * kPageSize;
        tables.map(Gva{kBase + kPages * kPageSize + kPageSize}, Gpa{64 * kMiB});  // mapped to where no RAM is
        root = tables.root();
        direct = std::make_unique<GuestMemory>(store, MemoryLayout::with_hole(kSize, kSize, "all"));
        cache = std::make_unique<PageCache>(*direct);
    }
    PhysicalMemory& memory() { return GetParam() == Over::cached ? static_cast<PhysicalMemory&>(*cache) : *direct; }

    // nullopt: not readable.
    std::optional<std::byte> expected(std::uint64_t va) const {
        const std::uint64_t offset = va - kBase;
        if (offset >= kPages * kPageSize) return std::nullopt;
        const auto frame = frames[offset / kPageSize];
        if (!frame) return std::nullopt;
        return store->bytes[*frame + offset % kPageSize];
    }

    std::shared_ptr<VectorStore> store;
    std::array<std::optional<std::uint64_t>, kPages> frames{};
    Gpa root;
    std::unique_ptr<GuestMemory> direct;
    std::unique_ptr<PageCache> cache;
};

TEST_P(Reading, SplitReadsEqualTheWhole) {
    const AddressSpace space(memory(), kMode, root);
    std::mt19937_64 random(11);
    for (int i = 0; i < 3000; ++i) {
        const std::uint64_t at = kBase + random() % (kPages * kPageSize + 0x3000);
        std::vector<std::byte> out(random() % 3 == 0 ? random() % (64 * kPageSize) : random() % 64);
        std::optional<std::uint64_t> first_bad;
        for (std::size_t k = 0; k < out.size() && !first_bad; ++k) {
            if (!expected(at + k)) first_bad = at + k;
        }
        auto whole = space.read(Gva{at}, out);
        ASSERT_EQ(whole.has_value(), !first_bad) << std::hex << at << "+" << out.size();
        if (!whole) {
            ASSERT_EQ(whole.error().address, *first_bad);
            auto prefix = space.read_prefix(Gva{at}, out);
            ASSERT_TRUE(prefix);
            ASSERT_EQ(*prefix, *first_bad - at);
            out.resize(*prefix);
        }
        for (std::size_t k = 0; k < out.size(); ++k) ASSERT_EQ(out[k], *expected(at + k));
    }
}

TEST_P(Reading, BatchesEqualSingleReads) {
    const AddressSpace space(memory(), kMode, root);
    std::mt19937_64 random(12);
    std::vector<std::vector<std::byte>> buffers(800);
    std::vector<VirtualReadOp> ops;
    for (auto& buffer : buffers) {
        buffer.resize(random() % (random() % 4 == 0 ? 20000 : 100));
        ops.push_back({Gva{kBase + random() % (kPages * kPageSize + 0x3000)}, buffer});
    }
    std::array<std::byte, 8> spare;
    ops.push_back({Gva{0x8000'0000'0000}, spare, true});
    ASSERT_TRUE(space.read_batch(ops));
    EXPECT_FALSE(ops.back().ok);
    EXPECT_EQ(ops.back().status, Errc::out_of_range);
    ops.pop_back();
    std::size_t good = 0;
    for (const VirtualReadOp& op : ops) {
        bool all_there = true;
        for (std::size_t k = 0; k < op.out.size(); ++k) {
            const auto byte = expected(op.address.value + k);
            all_there = all_there && byte.has_value();
            if (op.ok && byte) {
                ASSERT_EQ(op.out[k], *byte);
            }
        }
        ASSERT_EQ(op.ok, all_there);
        good += op.ok ? 1 : 0;
    }
    EXPECT_GT(good, 400u);
    EXPECT_LT(good, ops.size());
}

TEST_P(Reading, ContiguousPagesAreOneOperation) {
    const AddressSpace space(memory(), kMode, root);
    std::vector<std::byte> out(2 * kMiB);
    ASSERT_TRUE(space.read(Gva{kBase + 512 * kPageSize}, out));
    store->calls = store->operations = 0;
    ASSERT_TRUE(space.read(Gva{kBase + 512 * kPageSize}, out));
    EXPECT_EQ(store->operations, GetParam() == Over::mapped ? 0u : 1u);
}

TEST_P(Reading, StringsEndAtTheNulTheLimitOrTheHole) {
    const AddressSpace space(memory(), kMode, root);
    const std::uint64_t hole = kBase + 50 * kPageSize;
    const auto put = [&](std::uint64_t va, std::string_view text) {
        space.new_generation();
        for (std::size_t i = 0; i < text.size(); ++i)
            store->bytes[*frames[(va + i - kBase) / kPageSize] + (va + i) % kPageSize] = static_cast<std::byte>(
                text[i]);
    };
    put(kBase + 0x100, std::string_view("swapper/0\0", 10));
    auto text = space.read_c_string(Gva{kBase + 0x100}, 16);
    ASSERT_TRUE(text);
    EXPECT_EQ(text->bytes, "swapper/0");
    EXPECT_FALSE(text->truncated);
    text = space.read_c_string(Gva{kBase + 0x100}, 9);
    EXPECT_EQ(text->bytes, "swapper/0");
    EXPECT_TRUE(text->truncated) << "the NUL lies past the limit";
    put(hole - 4, "abcd");
    text = space.read_c_string(Gva{hole - 4}, 100);
    ASSERT_TRUE(text);
    EXPECT_EQ(text->bytes, "abcd");
    EXPECT_TRUE(text->truncated);
    put(hole - 4, std::string_view("abc\0", 4));
    text = space.read_c_string(Gva{hole - 4}, 100);
    EXPECT_EQ(text->bytes, "abc");
    EXPECT_FALSE(text->truncated) << "the page after the NUL is not needed";
    EXPECT_FALSE(space.read_c_string(Gva{hole}, 10));
    const std::string longer(10000, 'x');
    put(kBase + 100 * kPageSize + 17, longer + std::string(1, '\0'));
    text = space.read_c_string(Gva{kBase + 100 * kPageSize + 17}, 1u << 20);
    EXPECT_EQ(text->bytes, longer);
    EXPECT_TRUE(space.read_c_string(Gva{kBase}, 0)->truncated);
}

TEST_P(Reading, PointersAndValues) {
    const AddressSpace space(memory(), kMode, root);
    const std::uint64_t value = 0xffff'8880'1234'5678;
    std::memcpy(store->bytes.data() + *frames[3] + 8, &value, 8);
    EXPECT_EQ(space.read_pointer(Gva{kBase + 3 * kPageSize + 8}).value().value, value);
    EXPECT_EQ(space.read_value<std::uint16_t>(Gva{kBase + 3 * kPageSize + 8}).value(), 0x5678u);
    EXPECT_FALSE(space.read_value<std::uint64_t>(Gva{~0ull - 3})) << "crosses the last address";
    std::array<std::byte, 64> out;
    EXPECT_EQ(space.read_prefix(Gva{~0ull - 3}, out).value(), 0u);
}

TEST_P(Reading, CopiesAreIndependentAndAssignable) {
    const AddressSpace space(memory(), kMode, root);
    const auto first = space.read_value<std::uint64_t>(Gva{kBase});
    AddressSpace copy = space;
    EXPECT_EQ(copy.read_value<std::uint64_t>(Gva{kBase}).value(), *first);
    SyntheticMemory empty(kMiB);
    copy = AddressSpace(empty, PagingMode::x86_pae, Gpa{0x20});
    EXPECT_FALSE(copy.read_value<std::uint64_t>(Gva{0x1000}));
    EXPECT_EQ(copy.mode(), PagingMode::x86_pae);
    copy = space;
    EXPECT_EQ(copy.read_value<std::uint64_t>(Gva{kBase}).value(), *first);
}

INSTANTIATE_TEST_SUITE_P(Memories, Reading, ::testing::Values(Over::calls, Over::mapped, Over::cached),
                         [](const auto& suite) {
                             return suite.param == Over::calls    ? "calls"
                                    : suite.param == Over::mapped ? "mapped"
                                                                  : "cached";
                         });

// Translations last for a generation, of the space's own or of the memory under it.
TEST(Generations, TranslationsAreForgotten) {
    for (const bool mapped : {false, true}) {
        auto store = std::make_shared<VectorStore>(std::vector<std::byte>(kMiB), mapped);
        StoreWriter writer{*store};
        PageTableBuilder tables(writer, kMode, Gpa{0x1000});
        tables.map(Gva{0x5000}, Gpa{0x80000});
        writer.write_value<std::uint32_t>(Gpa{0x80000}, 1);
        writer.write_value<std::uint32_t>(Gpa{0x90000}, 2);
        GuestMemory memory(store, MemoryLayout::with_hole(kMiB, kMiB, "all"));
        const AddressSpace space(memory, kMode, tables.root());
        const AddressSpace other(memory, kMode, tables.root());
        EXPECT_EQ(space.read_value<std::uint32_t>(Gva{0x5000}).value(), 1u);
        EXPECT_EQ(other.read_value<std::uint32_t>(Gva{0x5000}).value(), 1u);
        tables.map(Gva{0x5000}, Gpa{0x90000});
        EXPECT_EQ(space.read_value<std::uint32_t>(Gva{0x5000}).value(), 1u) << "cached";
        space.new_generation();
        EXPECT_EQ(store->generations, 1u);
        EXPECT_EQ(space.read_value<std::uint32_t>(Gva{0x5000}).value(), 2u);
        EXPECT_EQ(other.read_value<std::uint32_t>(Gva{0x5000}).value(), 2u);
        // Another layout: what was cached of the old one is gone.
        memory.set_layout({"moved", {{Gpa{0x1000}, kMiB - 0x1000, 0x1000}, {Gpa{16 * kMiB}, 0x1000, 0x80000}}, true});
        tables.map(Gva{0x5000}, Gpa{16 * kMiB});
        EXPECT_EQ(other.read_value<std::uint32_t>(Gva{0x5000}).value(), 1u);
    }
}

// One space for one process after the other: nothing of another root's is left, however often it changed.
TEST(Generations, AnotherRootIsAnotherSpace) {
    for (const bool mapped : {false, true}) {
        auto store = std::make_shared<VectorStore>(std::vector<std::byte>(kMiB), mapped);
        StoreWriter writer{*store};
        std::array<Gpa, 2> roots;
        for (std::uint32_t i = 0; i < roots.size(); ++i) {
            PageTableBuilder tables(writer, kMode, Gpa{0x1000 + i * 0x10000});
            const Gpa frame{0x80000 + i * 0x10000};
            tables.map(Gva{0x5000}, frame);
            writer.write_value<std::uint32_t>(frame, i + 1);
            if (i == 0) tables.map(Gva{0x7000}, frame);
            roots[i] = tables.root();
        }
        GuestMemory memory(store, MemoryLayout::with_hole(kMiB, kMiB, "all"));
        AddressSpace space(memory, kMode, roots[0]);
        constexpr std::size_t kMoreThanEpochs = 3 * 4096 + 7;
        for (std::size_t i = 0; i < kMoreThanEpochs; ++i) {
            space.set_root(roots[i % 2]);
            ASSERT_EQ(space.root(), roots[i % 2]);
            ASSERT_EQ(space.read_value<std::uint32_t>(Gva{0x5000}).value(), i % 2 + 1) << i;
            // Put into the cache in every 4096th turn only: what comes around again must not find it.
            EXPECT_TRUE(i % 4096 != 0 || space.read_value<std::uint32_t>(Gva{0x7000}));
            EXPECT_FALSE(i % 2 == 1 && space.read_value<std::uint32_t>(Gva{0x7000})) << i;
        }
    }
}

TEST(Generations, SourceGoneFailsEveryRead) {
    SyntheticMemory memory(kMiB);
    PageTableBuilder tables(memory, kMode, Gpa{0x1000});
    tables.map_range(Gva{0x10000}, Gpa{0x40000}, 16 * kPageSize);
    const AddressSpace space(memory, kMode, tables.root());
    std::vector<std::byte> out(8 * kPageSize);
    ASSERT_TRUE(space.read(Gva{0x10000}, out));
    memory.gone = true;
    EXPECT_EQ(space.read(Gva{0x10000}, out).error().code, Errc::stale);
    EXPECT_EQ(space.read_value<std::uint64_t>(Gva{0x10000}).error().code, Errc::stale);
    EXPECT_EQ(space.read_prefix(Gva{0x10000}, out).error().code, Errc::stale) << "not a short prefix";
    EXPECT_EQ(space.read_prefix(Gva{0x1f000}, out).error().code, Errc::stale) << "nor when the walk fails";
    VirtualReadOp op{Gva{0x10000}, out};
    EXPECT_FALSE(space.read_batch(std::span(&op, 1)));
}

// A page becomes readable through the mapping only later: the cached translation must notice.
TEST(PagePresence, BitsThatAppearLaterAreUsed) {
    auto store = std::make_shared<VectorStore>(std::vector<std::byte>(64 * kPageSize), true);
    store->present = {0};
    StoreWriter writer{*store};
    PageTableBuilder tables(writer, kMode, Gpa{0x1000});
    tables.map(Gva{0x5000}, Gpa{0x20000});
    GuestMemory memory(store, MemoryLayout::with_hole(64 * kPageSize, 64 * kPageSize, "all"));
    const AddressSpace space(memory, kMode, tables.root());
    ASSERT_TRUE(space.read_value<std::uint32_t>(Gva{0x5000}));
    EXPECT_EQ(store->calls, 5u) << "four levels and the page, none through the mapping";
    store->present = {~0ull};
    ASSERT_TRUE(space.read_value<std::uint32_t>(Gva{0x5000}));
    EXPECT_EQ(store->calls, 5u);
}

}  // namespace
}  // namespace vitrine
