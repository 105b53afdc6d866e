// Whole objects as text and as a tree, of honest and of hostile types and memory.
#include "vitrine/types/object_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>

#include "object_fixture.h"
#include "sample_btf.h"

namespace vitrine {
namespace {

using test::BtfWriter;
using test::ObjectFixture;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr Gva kThing = ObjectFixture::kFirst;

std::shared_ptr<const TypeCatalog> parsed(const BtfWriter& w) {
    auto result = parse_btf(w.blob(), "");
    EXPECT_TRUE(result.has_value()) << result.error().to_string();
    return *result;
}

Object whole(const ObjectFixture& memory, const TypeCatalog& types, std::string_view type, Gva address) {
    return {memory.space(), types, *types.find(type), address};
}

TEST(ObjectText, EveryShapeOfMember) {
    ObjectFixture memory;
    const test::ObjectTypes types;
    memory.put(kThing, std::int32_t{-5});
    memory.put(kThing.wrap_plus(4), std::uint32_t{7});
    memory.put(kThing.wrap_plus(8), std::uint64_t{0x1'0000'0002});
    memory.put_text(kThing.wrap_plus(16), "a\"\x1b[2J");
    memory.put(kThing.wrap_plus(36), std::uint8_t{1});
    memory.put(kThing.wrap_plus(40), std::uint8_t{0b0111'1011});
    memory.put(kThing.wrap_plus(72), std::uint64_t{0xffff'ffff'8100'0000});
    memory.put(kThing.wrap_plus(80), kThing.value + 0x500);
    memory.put_text(kThing.wrap_plus(0x500), "a\ntitle");
    memory.put(kThing.wrap_plus(88), std::int32_t{5});
    DescribeOptions options;
    options.elements = 3;
    options.symbol_of = [](Gva at) {
        return at.value == 0xffff'ffff'8100'0000 ? std::string("start\x1b") : std::string();
    };
    const std::string text = object_text(whole(memory, *types.catalog, "thing", kThing), options);
    EXPECT_THAT(text,
                ::testing::StartsWith("*(struct thing *)0xffff888000000000 = {\n\t.id = -5,\n\t.state = BLUE,\n"));
    EXPECT_THAT(text,
                HasSubstr("\t.raw = 4294967298,\n\t.low = 2,\n\t.high = 1,\n"));  // anonymous ones are looked through
    EXPECT_THAT(text, HasSubstr("\t.name = \"a\\\"\\x1b[2J\",\n"));
    EXPECT_THAT(
        text, HasSubstr("\t.bytes = {0, 0, 0, /* 1 more */},\n\t.flag = true,\n\t.a = 1,\n\t.b = -3,\n\t.c = BLUE,\n"));
    EXPECT_THAT(
        text, HasSubstr("\t.first = NULL,\n\t.inner = {\n\t\t.next = NULL,\n\t\t.value = 0,\n\t\t.more = 0,\n\t},\n"));
    EXPECT_THAT(text, HasSubstr("\t.call = 0xffffffff81000000 <start\\x1b>,\n"));
    EXPECT_THAT(text, HasSubstr("\t.title = 0xffff888000000500 \"a\\ntitle\",\n\t.depth = 5,\n"));
    EXPECT_THAT(text,
                HasSubstr("\t.table = {0, 0, 0, /* 37 more */},\n\t.pairs = {\n\t\t[0] = {\n\t\t\t.next = NULL,\n"));
    EXPECT_THAT(text, HasSubstr("\t.matrix = {\n\t\t[0] = {0, 0},\n\t\t[1] = {0, 0},\n\t},\n\t.rest = {},\n};\n"));
}

TEST(ObjectText, SingleValuesAndLabels) {
    ObjectFixture memory;
    const test::ObjectTypes types;
    memory.put(kThing, std::int32_t{-5});
    const Object thing = whole(memory, *types.catalog, "thing", kThing);
    EXPECT_EQ(object_text(*thing.member("id"), {}, "id"), "id = -5;\n");
    EXPECT_EQ(object_text(*thing.member("b"), {}), "0;\n");  // a bit-field has no address
    EXPECT_EQ(object_text(*thing.member("id"), {}), "*(int *)0xffff888000000000 = -5;\n");
    EXPECT_THAT(object_text(*thing.member("call")->cast("void *")->cast("long unsigned int"), {}), "0;\n");
    EXPECT_THAT(object_text(Object(), {}), HasSubstr("/*  */"));
}

TEST(ObjectTree, OffsetsAndTypes) {
    ObjectFixture memory;
    const test::ObjectTypes types;
    const ObjectNode tree = describe(whole(memory, *types.catalog, "thing", kThing), {});
    ASSERT_EQ(tree.kind, NodeKind::members);
    EXPECT_EQ(tree.count, tree.children.size());
    EXPECT_FALSE(tree.cut);
    const auto find = [&](std::string_view name) {
        for (const ObjectNode& child : tree.children) {
            if (child.name == name) return child;
        }
        return ObjectNode{};
    };
    EXPECT_EQ(find("high").bit_offset, 96u);
    EXPECT_EQ(find("b").bit_offset, 321u);
    EXPECT_EQ(find("b").bit_size, 3u);
    EXPECT_EQ(find("table").type, "int [40]");
    EXPECT_EQ(find("table").count, 40u);
    EXPECT_TRUE(find("table").cut);
    EXPECT_EQ(find("pairs").children[1].children[1].bit_offset, 2112u + 128 + 64);
    EXPECT_EQ(find("ratio").kind, NodeKind::real);
}

TEST(ObjectText, WhatCannotBeReadSaysSoInItsPlace) {
    ObjectFixture memory;
    const test::ObjectTypes types;
    // Begins 100 bytes in front of the hole.
    const Gva at = ObjectFixture::kHole.wrap_minus(100);
    memory.put(at, std::int32_t{-5});
    const std::string text = object_text(whole(memory, *types.catalog, "thing", at), {});
    EXPECT_THAT(text, HasSubstr(".id = -5,\n"));
    EXPECT_THAT(text, HasSubstr(".wide = /* cannot be read: "));
    EXPECT_THAT(text, HasSubstr("(at 0xffff888000001000) */"));
    EXPECT_THAT(text, HasSubstr(".anything = /* cannot be read: "));
    // Texts up to the hole are shown, and a pointer into it stays a pointer.
    memory.put_text(ObjectFixture::kHole.wrap_minus(3), "end");
    memory.put(at.wrap_plus(80), ObjectFixture::kHole.value);
    EXPECT_THAT(object_text(whole(memory, *types.catalog, "thing", at), {}),
                HasSubstr(".title = 0xffff888000001000,\n"));
    memory.put(at.wrap_plus(80), ObjectFixture::kHole.value - 3);
    EXPECT_THAT(object_text(whole(memory, *types.catalog, "thing", at), {}),
                HasSubstr(".title = 0xffff888000000ffd \"end\"...,\n"));
}

class HostileObject : public ::testing::Test {
protected:
    ~HostileObject() override { EXPECT_LT(std::chrono::steady_clock::now() - start_, std::chrono::seconds(20)); }
    ObjectFixture memory;

private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

TEST_F(HostileObject, HugeArraysAreNotWalked) {
    BtfWriter w;
    const auto byte = w.integer("unsigned char", 1);
    const auto pointer = w.pointer(byte);
    const auto huge = w.array(w.array(byte, 0x7fff'ffff), 0x7fff);
    w.structure("huge", 0x7fff'ffff,
                {{"first", byte, 0}, {"all", w.array(byte, 0x0fff'ffff), 8}, {"none", w.array(0, 9), 64}});
    w.type_definition("matrix", huge);
    w.structure("empty", 0, {});
    w.type_definition("nothings", w.array(w.next_id() - 1, 0x7fff'ffff));
    w.type_definition("pointers", w.array(pointer, 0x7fff'ffff));
    const auto types = parsed(w);
    for (const char* name : {"huge", "matrix", "nothings", "pointers"}) {
        const Object object = whole(memory, *types, name, kThing);
        EXPECT_LT(object_text(object, {}).size(), 100'000u) << name;
        DescribeOptions all;
        all.elements = ~std::size_t{0};
        const std::string text = object_text(object, all);
        EXPECT_LT(text.size(), 2'000'000u) << name;
        EXPECT_THAT(text, HasSubstr("more */")) << name;
    }
    EXPECT_EQ(whole(memory, *types, "huge", kThing).snapshot().error().code, Errc::limit);
}

// Each of thirty structures holds two of the one before it: 2^30 members, named or anonymous.
TEST_F(HostileObject, SharedStructuresAreNotWalkedExponentially) {
    for (const bool anonymous : {false, true}) {
        BtfWriter w;
        auto inner = w.structure("s0", 0, {});
        for (int i = 1; i <= 30; ++i) {
            inner = w.structure("s" + std::to_string(i), 0,
                                {{anonymous ? "" : "a", inner, 0}, {anonymous ? "" : "b", inner, 0}});
        }
        const auto types = parsed(w);
        DescribeOptions deep;
        deep.depth = 1000;
        const std::string text = object_text(whole(memory, *types, "s30", kThing), deep);
        EXPECT_LT(text.size(), 4'000'000u);
        EXPECT_THAT(text, HasSubstr(anonymous ? "{...}" : "/* more */"));
    }
}

TEST_F(HostileObject, TypesThatPointToThemselvesAreFollowedOnlyAsFarAsAsked) {
    BtfWriter w;
    const auto pointer = w.next_id();
    w.pointer(pointer);  // a pointer to itself
    const auto self = w.next_id();
    w.structure("self", 16, {{"me", w.next_id() + 1, 0}, {"loop", pointer, 64}});
    w.pointer(self);
    const auto types = parsed(w);
    memory.put(kThing, kThing.value);
    memory.put(kThing.wrap_plus(8), kThing.value + 8);
    const Object object = whole(memory, *types, "self", kThing);
    std::string path = "me";
    for (int i = 0; i < 300; ++i) path += ".me";
    EXPECT_EQ(object.member(path)->as_address().value(), kThing);
    Object at = *object.member("loop");
    for (int i = 0; i < 100; ++i) at = *at.deref();
    EXPECT_EQ(at.address(), kThing.wrap_plus(8));
    const std::string text = object_text(object, {});
    EXPECT_THAT(text, HasSubstr(".me = 0xffff888000000000"));
    EXPECT_LT(text.size(), 20'000u);
}

TEST_F(HostileObject, LongNamesAndManyEnumeratorsAreCut) {
    BtfWriter w;
    const std::string name(500, 'n');
    const auto number = w.integer(name, 4);
    std::vector<BtfWriter::Value> values;
    for (std::int64_t i = 0; i < 60'000; ++i) values.push_back({i == 59'999 ? std::string_view(name) : "E", i});
    const auto enumeration = w.enumeration("many", false, values);
    std::vector<BtfWriter::Member> members;
    for (int i = 0; i < 3000; ++i)
        members.push_back({std::string_view(name).substr(0, 200), i % 2 == 0 ? number : enumeration, 0, 0});
    w.structure("long", 8, members);
    const auto types = parsed(w);
    memory.put(kThing, std::uint32_t{59'999});
    const ObjectNode tree = describe(whole(memory, *types, "long", kThing), {});
    for (const ObjectNode& child : tree.children) {
        EXPECT_LE(child.name.size(), 131u);
        EXPECT_LE(child.type.size(), 259u);
        EXPECT_LE(child.text.size(), 131u);
    }
    const std::string text = value_text(tree.children.at(1));
    EXPECT_LE(text.size(), 131u);
}

// All types of a blob with each word damaged, over memory of all ones: whatever is accepted can be shown.
TEST_F(HostileObject, DamagedTypesAreShownOrRefused) {
    for (std::uint64_t i = 0; i < kPageSize; i += 8) memory.put(kThing.wrap_plus(i), ~std::uint64_t{0});
    const auto blob = test::sample_btf().blob();
    DescribeOptions options;
    options.nodes = 200;
    std::size_t shown = 0;
    for (std::size_t at = 0; at + 4 <= blob.size(); at += 4) {
        for (const std::uint32_t value :
             {0u, 1u, 5u, 0xffu, 0xffffu, 0x7fffffffu, 0x80000000u, 0xffffffffu, 0x84000003u}) {
            auto damaged = blob;
            std::memcpy(damaged.data() + at, &value, sizeof value);
            const auto types = parse_btf(damaged, "");
            if (!types) continue;
            for (TypeId id = 0; id < (*types)->size(); ++id) {
                const Object object(memory.space(), **types, id, kThing);
                shown += object_text(object, options).empty() ? 0u : 1u;
            }
        }
    }
    EXPECT_GT(shown, 1000u);
}

}  // namespace
}  // namespace vitrine
