#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "sample_btf.h"
#include "vitrine/types/catalog.h"

namespace vitrine {
namespace {

using test::BtfWriter;
using testing::HasSubstr;

std::shared_ptr<const TypeCatalog> parsed(const BtfWriter& w) {
    auto result = parse_btf(w.blob(), "BTF of the test");
    EXPECT_TRUE(result.has_value()) << result.error().to_string();
    return result ? *result : nullptr;
}

std::string error_of(std::span<const std::byte> blob) {
    const auto result = parse_btf(blob, "");
    return result ? std::string("accepted") : result.error().to_string();
}

template <class T>
void put(std::vector<std::byte>& blob, std::size_t at, T value) {
    std::memcpy(blob.data() + at, &value, sizeof value);
}

TEST(ParseBtf, ReadsEveryKind) {
    const auto types = parsed(test::sample_btf());
    ASSERT_NE(types, nullptr);
    EXPECT_EQ(types->origin(), "BTF of the test");
    std::vector<TypeKind> seen;
    for (TypeId id = 0; id < types->size(); ++id) seen.push_back(types->type(id)->kind);
    for (int kind = 0; kind <= static_cast<int>(TypeKind::type_tag); ++kind) {
        EXPECT_THAT(seen, testing::Contains(static_cast<TypeKind>(kind))) << to_string(static_cast<TypeKind>(kind));
    }
}

TEST(ParseBtf, HeaderLengthIsTheHeadersOwn) {
    for (const std::uint32_t length : {24u, 28u, 32u, 64u, 256u}) {
        const auto blob = test::sample_btf().blob(length);
        ASSERT_TRUE(parse_btf(blob, "").has_value()) << length;
        const auto extent = btf_extent(std::span(blob).first(length));
        ASSERT_TRUE(extent.has_value()) << length;
        EXPECT_EQ(extent->size, blob.size()) << length;
    }
    auto blob = test::sample_btf().blob(300);
    EXPECT_THAT(error_of(blob), HasSubstr("header length 300"));
    put<std::uint32_t>(blob, 4, 20);
    EXPECT_THAT(error_of(blob), HasSubstr("header length 20"));
    put<std::uint32_t>(blob, 4, 26);
    EXPECT_THAT(error_of(blob), HasSubstr("header length 26"));
}

TEST(ParseBtf, ExtentCountsTheLayoutSection) {
    auto blob = test::sample_btf().blob(32);
    put<std::uint32_t>(blob, 24, static_cast<std::uint32_t>(blob.size() - 32));
    put<std::uint32_t>(blob, 28, 100);
    const auto extent = btf_extent(blob);
    ASSERT_TRUE(extent.has_value());
    EXPECT_EQ(extent->size, blob.size() + 100);
    EXPECT_THAT(error_of(blob), HasSubstr("past the end"));
}

TEST(ParseBtf, RefusesOtherFormatsByName) {
    auto blob = test::sample_btf().blob();
    put<std::uint16_t>(blob, 0, 0x9feb);
    EXPECT_THAT(error_of(blob), HasSubstr("big-endian"));
    put<std::uint16_t>(blob, 0, 0x1234);
    EXPECT_THAT(error_of(blob), HasSubstr("magic"));
    put<std::uint16_t>(blob, 0, 0xeb9f);
    put<std::uint8_t>(blob, 2, 2);
    EXPECT_THAT(error_of(blob), HasSubstr("version 2"));
    BtfWriter w;
    w.record("", 20, 0, false, 0);
    EXPECT_THAT(error_of(w.blob()), HasSubstr("unknown kind 20"));
    BtfWriter zero;
    zero.record("", 0, 0, false, 0);
    EXPECT_THAT(error_of(zero.blob()), HasSubstr("unknown kind 0"));
}

TEST(ParseBtf, RefusesBlobsOverTheCap) {
    auto blob = test::sample_btf().blob();
    put<std::uint32_t>(blob, 16, 0x10000000);
    const auto result = btf_extent(blob);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, Errc::limit);
}

TEST(ParseBtf, RefusesIdsAndStringsOutOfRange) {
    BtfWriter dangling;
    dangling.pointer(7);
    EXPECT_THAT(error_of(dangling.blob()), HasSubstr("refers to type 7"));
    BtfWriter member;
    member.structure("s", 8, {{"a", 9, 0}});
    EXPECT_THAT(error_of(member.blob()), HasSubstr("member of type 9"));
    BtfWriter w;
    w.integer("int", 4);
    auto blob = w.blob();
    put<std::uint32_t>(blob, 24, w.string_bytes());
    EXPECT_THAT(error_of(blob), HasSubstr("name outside"));
    blob = w.blob();
    blob.back() = std::byte{'x'};
    EXPECT_THAT(error_of(blob), HasSubstr("does not end with NUL"));
}

TEST(ParseBtf, RefusesMembersOutsideTheirStructure) {
    BtfWriter w;
    const auto u64 = w.integer("u64", 8);
    w.structure("s", 8, {{"a", u64, 8}});
    EXPECT_THAT(error_of(w.blob()), HasSubstr("type 2: member 0 lies outside"));
    BtfWriter bits;
    const auto u8 = bits.integer("u8", 1);
    bits.structure("s", 8, {{"a", u8, 0, 9}});
    EXPECT_THAT(error_of(bits.blob()), HasSubstr("wider than its type"));
}

TEST(ParseBtf, ToleratesWhatKernelsHave) {
    BtfWriter w;
    const auto u32 = w.integer("u32", 4);
    const auto empty = w.structure("empty", 0, {});
    const auto flexible = w.array(u32, 0);
    w.structure("s", 8, {{"none", empty, 64}, {"last", u32, 56, 8}, {"tail", flexible, 64}});
    EXPECT_TRUE(parse_btf(w.blob(), "").has_value()) << error_of(w.blob());
}

TEST(ParseBtf, RefusesTypesThatContainThemselves) {
    BtfWriter direct;
    direct.structure("s", 8, {{"self", 1, 0}});
    EXPECT_THAT(error_of(direct.blob()), HasSubstr("contains itself"));
    BtfWriter names;
    names.type_definition("a", 2);
    names.type_definition("b", 1);
    EXPECT_THAT(error_of(names.blob()), HasSubstr("contains itself"));
    BtfWriter array;
    array.array(1, 3);
    EXPECT_THAT(error_of(array.blob()), HasSubstr("contains itself"));
    BtfWriter mixed;  // struct -> typedef -> const -> array -> struct
    mixed.structure("s", 8, {{"m", 2, 0}});
    mixed.type_definition("t", 3);
    mixed.reference(BtfWriter::CONST, "", 4);
    mixed.array(1, 1);
    EXPECT_THAT(error_of(mixed.blob()), HasSubstr("contains itself"));
    BtfWriter pointer;  // through a pointer it is fine
    pointer.structure("s", 8, {{"next", 2, 0}});
    pointer.pointer(1);
    EXPECT_EQ(error_of(pointer.blob()), "accepted");
}

TEST(ParseBtf, RefusesSizesThatOverflow) {
    BtfWriter w;
    const auto u64 = w.integer("u64", 8);
    auto id = w.array(u64, 0xffffffff);
    id = w.array(id, 0xffffffff);
    EXPECT_THAT(error_of(w.blob()), HasSubstr("absurd array size"));
}

TEST(ParseBtf, SurvivesLongChains) {
    BtfWriter w;
    std::uint32_t id = w.integer("int", 4);
    for (int i = 0; i < 100'000; ++i) id = w.type_definition("t", id);
    const auto types = parsed(w);
    ASSERT_NE(types, nullptr);
    EXPECT_EQ(types->strip(id), 0u);
    EXPECT_EQ(types->size_of(id), std::nullopt);
    EXPECT_EQ(types->size_of(40), 4u);
}

// pahole before 1.13: a bit-field is a member whose integer type does not fill its bytes.
TEST(ParseBtf, ReadsOldBitFields) {
    BtfWriter w;
    const auto three_bits = w.integer("unsigned int", 4, false, 3, 2);
    const auto uint = w.integer("unsigned int", 4);
    w.structure("s", 8, {{"whole", uint, 32}, {"part", three_bits, 0}});
    const auto types = parsed(w);
    ASSERT_NE(types, nullptr);
    const auto part = types->field(*types->find("s"), "part");
    ASSERT_TRUE(part.has_value());
    EXPECT_EQ(part->bit_offset, 2u);
    EXPECT_EQ(part->bit_size, 3u);
    EXPECT_EQ(types->field(*types->find("s"), "whole")->bit_size, 0u);
}

TEST(ParseSplitBtf, GoesOnFromItsBase) {
    const BtfWriter base = test::sample_btf();
    BtfWriter split(base.next_id(), base.string_bytes());
    split.structure("tun_struct", 8, {{"task", 1, 0}});    // type 1 is the base's
    split.structure("task_struct", 4, {{"wrong", 1, 0}});  // redeclared, different
    const auto types = parse_split_btf(base.blob(), split.blob(), "BTF of tun");
    ASSERT_TRUE(types.has_value()) << types.error().to_string();
    EXPECT_EQ((*types)->size(), split.next_id());
    const auto tun = (*types)->find("tun_struct");
    ASSERT_TRUE(tun.has_value());
    EXPECT_EQ(*tun, base.next_id());
    EXPECT_EQ((*types)->type_name((*types)->field(*tun, "task")->type), "unsigned int");
    const auto task = (*types)->find("struct task_struct");
    ASSERT_TRUE(task.has_value()) << task.error().to_string();
    EXPECT_LT(*task, base.next_id());
    EXPECT_EQ((*types)->find_all("task_struct").size(), 2u);
}

TEST(ParseSplitBtf, BaseMayNotUseTheSplitsStrings) {
    BtfWriter base;
    base.integer("int", 4);
    auto blob = base.blob();
    put<std::uint32_t>(blob, 24, base.string_bytes());  // the first string of the split
    BtfWriter split(base.next_id(), base.string_bytes());
    split.integer("long", 8);
    EXPECT_FALSE(parse_split_btf(blob, split.blob(), "").has_value());
    EXPECT_TRUE(parse_split_btf(base.blob(), split.blob(), "").has_value());
}

TEST(ParseSplitBtf, MayHaveNoStrings) {
    BtfWriter base;
    base.integer("int", 4);
    BtfWriter split(base.next_id(), base.string_bytes());
    split.pointer(1);
    ASSERT_EQ(split.string_bytes(), 0u);
    EXPECT_TRUE(parse_split_btf(base.blob(), split.blob(), "").has_value());
    EXPECT_FALSE(parse_btf(split.blob(), "").has_value());
}

}  // namespace
}  // namespace vitrine
