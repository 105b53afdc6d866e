// What is read is kept, as it was first read, and nothing else.
#include "vitrine/memory/recording_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "support/page_table_builder.h"
#include "support/vector_store.h"
#include "vitrine/memory/address_space.h"

namespace vitrine {
namespace {

using testing::VectorStore;
using Content = RecordingStore::Content;

std::vector<std::byte> counted(std::size_t size) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / kPageSize + 1);
    return bytes;
}

MemoryLayout layout_of(std::vector<LayoutExtent> extents) { return {"a test", std::move(extents), true}; }

// A store where one range cannot be read.
class Holed final : public RamStore {
public:
    explicit Holed(StoreRange hole) : hole_(hole) {}
    [[nodiscard]] std::uint64_t size() const override { return 16 * kPageSize; }
    [[nodiscard]] AccessMethod method() const override { return AccessMethod::copied; }
    Result<void> read(std::span<StoreReadOp> ops) override {
        if (gone) return Error::make(Errc::stale, Origin::source, "made-up store");
        for (StoreReadOp& op : ops) {
            op.ok = op.offset + op.out.size() <= hole_.offset || op.offset >= hole_.offset + hole_.size;
            op.status = Errc::fault;
            std::fill(op.out.begin(), op.out.end(), std::byte{0x55});
        }
        return {};
    }
    bool gone = false;

private:
    StoreRange hole_;
};

Result<std::vector<std::byte>> read(RamStore& store, std::uint64_t offset, std::size_t size) {
    std::vector<std::byte> bytes(size);
    StoreReadOp op{offset, bytes};
    VITRINE_CHECK(store.read(std::span(&op, 1)));
    if (!op.ok) return Error::make_at(op.status, Origin::source, offset, "read");
    return bytes;
}

TEST(RecordingStore, TheFirstReadOfAPageCounts) {
    VectorStore inner(counted(8 * kPageSize), true);
    const auto before = inner.bytes;
    RecordingStore store(inner, layout_of({{Gpa{0}, inner.size(), 0}}));
    EXPECT_EQ(store.mapping().base, nullptr);
    const auto first = read(store, kPageSize + 100, 8);
    ASSERT_TRUE(first);
    std::fill(inner.bytes.begin(), inner.bytes.end(), std::byte{0xee});
    store.new_generation();
    // Also other bytes of the page, and what reaches into the next one.
    const auto again = read(store, kPageSize + 90, kPageSize);
    ASSERT_TRUE(again);
    for (std::size_t i = 0; i < again->size(); ++i) {
        const std::size_t at = kPageSize + 90 + i;
        EXPECT_EQ((*again)[i], at < 2 * kPageSize ? before[at] : std::byte{0xee}) << i;
    }
    const auto pages = store.pages();
    ASSERT_EQ(pages.size(), 2u);
    EXPECT_EQ(pages[0].place, (StoreRange{kPageSize, kPageSize}));
    EXPECT_TRUE(std::equal(pages[0].bytes.begin(), pages[0].bytes.end(), before.begin() + kPageSize));
    EXPECT_EQ(pages[1].place, (StoreRange{2 * kPageSize, kPageSize}));
}

TEST(RecordingStore, NoReadOfAnAddressSpaceGoesRoundIt) {
    auto inner = std::make_shared<VectorStore>(counted(16 * kPageSize), true);
    const MemoryLayout layout = layout_of({{Gpa{0}, inner->size(), 0}});
    auto store = std::make_shared<RecordingStore>(*inner, layout);
    GuestMemory memory(store, layout);
    const AddressSpace space(memory, PagingMode::none, Gpa{0});
    ASSERT_TRUE(space.read_value<std::uint64_t>(Gva{3 * kPageSize + 8}));
    ASSERT_TRUE(space.read_c_string(Gva{5 * kPageSize}, 16));
    std::array<std::byte, 16> bytes;
    VirtualReadOp op{Gva{7 * kPageSize - 8}, bytes};
    ASSERT_TRUE(space.read_batch(std::span(&op, 1)));
    std::vector<std::uint64_t> seen;
    for (const auto& page : store->pages()) seen.push_back(page.place.offset / kPageSize);
    EXPECT_EQ(seen, (std::vector<std::uint64_t>{3, 5, 6, 7}));
}

TEST(RecordingStore, PagesAreThoseOfTheGuest) {
    // As in a core: memory begins behind a header, and RAM ends inside a page.
    VectorStore inner(counted(6 * kPageSize));
    RecordingStore store(inner, layout_of({{Gpa{0x10000}, 2 * kPageSize, 0x123},
                                           {Gpa{0x20800}, kPageSize, 0x123 + 2 * kPageSize},
                                           {Gpa{0x90000}, kPageSize, 0x123}}));  // an alias
    for (const std::uint64_t offset : {0x10u, 0x200u, 0x1200u, 0x2130u, 0x3000u, 0x3200u})
        ASSERT_TRUE(read(store, offset, 4)) << offset;
    std::vector<StoreRange> places;
    for (const auto& page : store.pages()) {
        places.push_back(page.place);
        EXPECT_TRUE(std::equal(page.bytes.begin(), page.bytes.end(),
                               inner.bytes.begin() + static_cast<std::ptrdiff_t>(page.place.offset)));
    }
    EXPECT_EQ(places, (std::vector<StoreRange>{{0, 0x123},
                                               {0x123, kPageSize},
                                               {0x1123, kPageSize},
                                               {0x2123, 0x800},
                                               {0x2923, 0x800},
                                               {0x3123, 0x1000 - 0x123}}));
}

TEST(RecordingStore, WhatCannotBeReadStaysSo) {
    Holed inner({2 * kPageSize, kPageSize});
    RecordingStore store(inner, layout_of({{Gpa{0}, inner.size(), 0}}));
    EXPECT_FALSE(read(store, 2 * kPageSize - 8, 16));
    EXPECT_EQ(read(store, 2 * kPageSize, 8).error().code, Errc::fault);
    EXPECT_TRUE(read(store, kPageSize, 8));
    EXPECT_EQ(read(store, inner.size() - 4, 8).error().code, Errc::out_of_range);
    EXPECT_EQ(read(store, ~std::uint64_t{0}, 8).error().code, Errc::out_of_range);
    const auto pages = store.pages();
    ASSERT_EQ(pages.size(), 2u);
    EXPECT_EQ(pages[0].content, Content::bytes);
    EXPECT_EQ(pages[1].content, Content::unreadable);
    EXPECT_TRUE(pages[1].bytes.empty());
    // A source that is gone is no page that cannot be read.
    inner.gone = true;
    EXPECT_EQ(read(store, 5 * kPageSize, 8).error().code, Errc::stale);
    EXPECT_TRUE(read(store, kPageSize + 16, 8)) << "kept";
    EXPECT_EQ(store.pages().size(), 2u);
}

TEST(RecordingStore, ZerosTakeNoRoom) {
    VectorStore inner(std::vector<std::byte>(4 * kPageSize));
    inner.bytes[kPageSize] = std::byte{1};
    RecordingStore store(inner, layout_of({{Gpa{0}, inner.size(), 0}}));
    ASSERT_TRUE(read(store, 0, 4 * kPageSize));
    const auto pages = store.pages();
    ASSERT_EQ(pages.size(), 4u);
    for (std::size_t i = 0; i < 4; ++i) {
        EXPECT_EQ(pages[i].content, i == 1 ? Content::bytes : Content::zeros) << i;
    }
}

TEST(RecordingStore, AScanKeepsNothingAndSeesWhatIsKept) {
    VectorStore inner(counted(8 * kPageSize));
    RecordingStore store(inner, layout_of({{Gpa{0}, inner.size(), 0}}));
    std::vector<std::byte> words(8 * 8);
    ASSERT_TRUE(store.read_strided(16, kPageSize, 8, 8, words));
    EXPECT_TRUE(store.pages().empty());
    EXPECT_EQ(store.populated({0, inner.size()}).size(), 1u);
    ASSERT_TRUE(read(store, 3 * kPageSize, 4));
    const std::byte kept = inner.bytes[3 * kPageSize + 16];
    std::fill(inner.bytes.begin(), inner.bytes.end(), std::byte{0xee});
    ASSERT_TRUE(store.read_strided(16, kPageSize, 8, 8, words));
    EXPECT_EQ(words[3 * 8], kept);
    EXPECT_EQ(words[4 * 8], std::byte{0xee});
    EXPECT_EQ(store.pages().size(), 1u);
}

}  // namespace
}  // namespace vitrine
