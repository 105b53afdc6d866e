// The kernel's hash tables, honest and forged.
#include "os/linux/hash_walk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "support/page_table_builder.h"
#include "support/synthetic_memory.h"
#include "vitrine/types/catalog_builder.h"

namespace vitrine::test {
namespace {

using linux_os::ChainTable;
using linux_os::HashWalk;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr PagingMode kMode = PagingMode::x86_64_4level;
constexpr Gva kBase{0xffff'8880'0000'0000};
constexpr std::uint64_t kSize = 8u << 20;  // mapped from kBase on
constexpr std::uint64_t kTables = 16u << 20;
constexpr std::uint64_t kLink = 104;  // of the node in an object, as in struct sock
constexpr Gva kBuckets = kBase;

constexpr Gva object(std::uint64_t index) { return Gva{kBase.value + 0x10000 + index * 256}; }
constexpr std::uint64_t marker(std::uint64_t value) { return value << 1 | 1; }

struct Tables {
    Tables() : memory(32u << 20), pages(memory, kMode, Gpa{kTables}), space(memory, kMode, pages.root()) {
        pages.map_range(kBase, Gpa{0}, kSize, 2u << 20);
    }
    void put(Gva at, std::uint64_t value) { memory.write_value(Gpa{at.value - kBase.value}, value); }
    void bucket(std::uint64_t index, std::uint64_t word) { put(kBuckets.wrap_plus(index * 8), word); }
    static std::uint64_t node(std::uint64_t index) { return object(index).value + kLink; }
    void link(std::uint64_t index, std::uint64_t word) { put(Gva{node(index)}, word); }
    // Buckets with these objects each, ended as they should be.
    void chains(const std::vector<std::vector<std::uint64_t>>& all, bool nulls = true) {
        for (std::size_t i = 0; i < all.size(); ++i) {
            std::uint64_t word = nulls ? marker(i) : 0;
            for (auto at = all[i].rbegin(); at != all[i].rend(); ++at) {
                link(*at, word);
                word = node(*at);
            }
            bucket(i, word);
        }
    }
    HashWalk walk(std::uint64_t count, std::optional<std::uint64_t> nulls = 0, WalkBudget budget = {}) {
        HashWalk walk(space, budget);
        walk.chains({kBuckets, count, 8, 0, kLink, nulls}, [&](Gva at) {
            found.push_back((at.value - object(0).value) / 256);
            return true;
        });
        return walk;
    }

    testing::SyntheticMemory memory;
    testing::PageTableBuilder pages;
    AddressSpace space;
    std::vector<std::uint64_t> found;
};

TEST(HashWalk, EachObjectOnceInTheOrderOfItsTable) {
    for (const bool nulls : {true, false}) {
        Tables tables;
        tables.chains({{}, {3, 1}, {}, {2}}, nulls);
        const HashWalk walk = tables.walk(4, nulls ? std::optional<std::uint64_t>(0) : std::nullopt);
        EXPECT_EQ(walk.report().end, WalkEnd::complete);
        EXPECT_THAT(walk.problems(), IsEmpty());
        EXPECT_EQ(tables.found, (std::vector<std::uint64_t>{3, 1, 2}));
    }
}

TEST(HashWalk, StopsWhenAsked) {
    Tables tables;
    tables.chains({{1, 2}, {3}});
    HashWalk walk(tables.space, {});
    unsigned seen = 0;
    EXPECT_FALSE(walk.chains({kBuckets, 2, 8, 0, kLink, 0}, [&](Gva) { return ++seen < 2; }));
    EXPECT_EQ(seen, 2u);
    EXPECT_EQ(walk.report().end, WalkEnd::stopped);
}

TEST(HashWalk, ALoopIsSaidAndTheOtherChainsAreThere) {
    Tables tables;
    tables.chains({{1, 2}, {3}});
    tables.link(2, Tables::node(1));
    const HashWalk walk = tables.walk(2);
    EXPECT_EQ(walk.report().end, WalkEnd::cycle);
    EXPECT_EQ(tables.found, (std::vector<std::uint64_t>{1, 2, 3}));
}

TEST(HashWalk, AnotherChainsMarkerIsSaid) {
    Tables tables;
    tables.chains({{1}, {2}});
    tables.link(1, marker(1));
    const HashWalk walk = tables.walk(2);
    EXPECT_EQ(walk.report().end, WalkEnd::inconsistent);
    EXPECT_EQ(tables.found, (std::vector<std::uint64_t>{1, 2}));
    Tables plain;  // an hlist knows no markers, and one that has them is told by its base
    plain.chains({{1}, {2}});
    EXPECT_EQ(plain.walk(2, 7).report().end, WalkEnd::inconsistent);
}

TEST(HashWalk, ASharedTailIsWalkedOnce) {
    constexpr std::uint64_t kChains = 8192, kTail = 20'000;
    Tables tables;
    std::vector<std::uint64_t> tail(kTail);
    for (std::uint64_t i = 0; i < kTail; ++i) tail[i] = i;
    tables.chains({tail});
    for (std::uint64_t i = 1; i < kChains; ++i) tables.bucket(i, Tables::node(0));
    const auto before = tables.memory.operations;
    const HashWalk walk = tables.walk(kChains);
    EXPECT_EQ(walk.report().end, WalkEnd::inconsistent);
    EXPECT_EQ(tables.found.size(), kTail);
    EXPECT_LT(tables.memory.operations - before, 40 * (kChains + kTail));
    EXPECT_LE(walk.problems().size(), 100u);
}

TEST(HashWalk, EndlessChainsEndWithTheBudget) {
    Tables tables;
    std::vector<std::uint64_t> all(20'000);
    for (std::uint64_t i = 0; i < all.size(); ++i) all[i] = i;
    tables.chains({all});
    const HashWalk walk = tables.walk(1, 0, {.nodes = 1000});
    EXPECT_EQ(walk.report().end, WalkEnd::budget);
    EXPECT_EQ(tables.found.size(), 1000u);
}

TEST(HashWalk, WhatCannotBeReadIsSaid) {
    Tables tables;
    tables.chains({{1}, {2}});
    tables.link(1, kBase.value + kSize + 64);
    EXPECT_EQ(tables.walk(2).report().end, WalkEnd::fault);
    EXPECT_EQ(tables.found.back(), 2u);
    Tables beyond;  // the buckets themselves: those that are there are read
    HashWalk walk(beyond.space, {});
    const Gva at = kBase.wrap_plus(kSize - 64);
    beyond.put(at, object(5).value + kLink);
    beyond.link(5, 0);
    for (std::uint64_t i = 1; i < 8; ++i) beyond.put(at.wrap_plus(i * 8), 0);
    walk.chains({at, 1024, 8, 0, kLink, std::nullopt}, [&](Gva) { return beyond.found.push_back(5), true; });
    EXPECT_EQ(walk.report().end, WalkEnd::fault);
    EXPECT_EQ(beyond.found.size(), 1u);
}

TEST(HashWalk, ImpossibleSizesAreRefused) {
    for (const std::uint64_t count : {std::uint64_t{0}, HashWalk::kMostBuckets + 1, std::uint64_t{1} << 32}) {
        Tables tables;
        EXPECT_EQ(tables.walk(count).report().end, WalkEnd::inconsistent) << count;
        EXPECT_THAT(tables.found, IsEmpty());
    }
}

// struct rhashtable and struct bucket_table, as far as they are read.
Members rhashtable_members() {
    CatalogBuilder builder;
    const auto add = [&](TypeKind kind, std::string_view name, std::uint64_t size, TypeId target = 0,
                         std::uint32_t first = 0, std::uint32_t count = 0) {
        Type type;
        type.kind = kind;
        type.name = builder.add_string(name);
        type.size = size;
        type.target = target;
        type.first = first;
        type.count = count;
        return builder.add(type);
    };
    const auto member = [&](std::string_view name, TypeId type, std::uint64_t offset) {
        return builder.add_member({builder.add_string(name), type, offset * 8, 0});
    };
    const TypeId u32 = add(TypeKind::integer, "unsigned int", 4);
    const TypeId pointer = add(TypeKind::pointer, "", 0);
    const TypeId buckets = add(TypeKind::array, "", 0, pointer);
    const std::uint32_t first = member("size", u32, 0);
    member("nest", u32, 4);
    member("future_tbl", pointer, 48);
    member("buckets", buckets, 64);
    add(TypeKind::structure, "bucket_table", 64, 0, first, 4);
    add(TypeKind::structure, "rhashtable", 8, 0, member("tbl", pointer, 0), 1);
    const auto catalog = builder.build("a test");
    if (!catalog) throw std::logic_error(catalog.error().to_string());
    auto members = resolve_members(**catalog, linux_os::kRhashtableNeeds);
    if (!members) throw std::logic_error(members.error().to_string());
    return *members;
}

struct Resizable : Tables {
    static constexpr Gva kHash = kBase.wrap_plus(0x4000), kFirst = kBase.wrap_plus(0x5000),
                         kSecond = kBase.wrap_plus(0x6000);
    static Gva bucket_of(Gva table, std::uint64_t index) { return table.wrap_plus(64 + index * 8); }
    Resizable() {
        put(kHash, kFirst.value);
        put(kFirst, 2);  // size; no nest
        put(kFirst.wrap_plus(48), kSecond.value);
        put(kSecond, 1);
        hang(bucket_of(kFirst, 0), 1, 1);  // locked
        hang(bucket_of(kSecond, 0), 2, 0);
    }
    void hang(Gva at, std::uint64_t index, std::uint64_t lock) {
        put(at, node(index) | lock);
        link(index, at.value | 1);
    }
    HashWalk walk_it() {
        HashWalk walk(space, {});
        walk.rhashtable(members, kHash, kLink, [&](Gva at) {
            found.push_back((at.value - object(0).value) / 256);
            return true;
        });
        return walk;
    }
    Members members = rhashtable_members();
};

TEST(HashWalk, AResizableTableAndTheOneItGrowsInto) {
    Resizable table;
    const HashWalk walk = table.walk_it();
    EXPECT_EQ(walk.report().end, WalkEnd::complete);
    EXPECT_EQ(table.found, (std::vector<std::uint64_t>{1, 2}));
}

TEST(HashWalk, AResizableTableThatGrowsIntoItself) {
    Resizable table;
    table.put(Resizable::kSecond.wrap_plus(48), Resizable::kFirst.value);
    EXPECT_EQ(table.walk_it().report().end, WalkEnd::cycle);
    EXPECT_EQ(table.found, (std::vector<std::uint64_t>{1, 2}));
}

TEST(HashWalk, ResizableTablesThatAreNoneOrNotRead) {
    for (const std::uint64_t word :
         {std::uint64_t{3}, std::uint64_t{1} << 31, std::uint64_t{0}, std::uint64_t{7} << 32 | 2}) {
        Resizable table;
        table.put(Resizable::kFirst, word);
        const HashWalk walk = table.walk_it();
        EXPECT_EQ(walk.report().end, WalkEnd::inconsistent) << word;
        ASSERT_FALSE(walk.problems().empty());
        EXPECT_THAT(walk.problems().front(), HasSubstr("resizable hash table")) << word;
        EXPECT_EQ(table.found, (std::vector<std::uint64_t>{2})) << word;
    }
}

TEST(HashWalk, TheEndOfAnotherBucketOfAResizableTable) {
    Resizable table;
    table.link(1, Resizable::bucket_of(Resizable::kFirst, 1).value | 1);
    EXPECT_EQ(table.walk_it().report().end, WalkEnd::inconsistent);
    EXPECT_EQ(table.found, (std::vector<std::uint64_t>{1, 2}));
}

}  // namespace
}  // namespace vitrine::test
