// Typed access to guest memory.
#include "vitrine/types/object.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "object_fixture.h"

namespace vitrine {
namespace {

using test::ObjectFixture;
using ::testing::HasSubstr;

class ObjectTest : public ::testing::Test {
protected:
    static constexpr Gva kThing = ObjectFixture::kFirst;
    static constexpr Gva kNode = Gva{ObjectFixture::kFirst.value + 0x800};
    static constexpr Gva kText = Gva{ObjectFixture::kFirst.value + 0xa00};

    ObjectTest() {
        memory.put(kThing, std::int32_t{-5});
        memory.put(at(4), std::uint32_t{7});
        memory.put(at(8), std::uint64_t{0x1122'3344'5566'7788});
        memory.put_text(at(16), "a\x1b name");
        for (std::uint8_t i = 0; i < 4; ++i) memory.put(at(32u + i), static_cast<std::uint8_t>(0xf0 + i));
        memory.put(at(36), std::uint8_t{1});
        memory.put(at(40), std::uint8_t{0b0111'1011});  // a = 1, b = 0b101, c = 7
        memory.put(at(48), kNode.value);
        memory.put(at(56), kNode.value);
        memory.put(at(64), std::int32_t{11});
        memory.put(at(72), std::uint64_t{0xffff'ffff'8100'0000});
        memory.put(at(80), kText.value);
        memory.put(at(88), std::int32_t{-1});
        memory.put(at(96), std::int64_t{-2});
        for (std::uint32_t i = 0; i < 40; ++i) memory.put(at(104 + 4 * i), i);
        memory.put(at(296), std::uint64_t{0x3ff8'0000'0000'0000});  // 1.5
        memory.put(at(304), kThing.value);
        memory.put(at(312), std::uint64_t{0xa000'0000'0000'0000 | 0x1f});
        memory.put(at(320), std::uint8_t{0xff});
        memory.put(at(328), std::int32_t{1});
        memory.put(at(340), std::int32_t{4});
        memory.put(kNode, ObjectFixture::kHole.value);
        memory.put(kNode.wrap_plus(8), std::int32_t{-42});
        memory.put_text(kText, std::string_view("a title\0rest", 12));
    }
    static Gva at(std::uint64_t offset) { return kThing.wrap_plus(offset); }
    [[nodiscard]] Object object(std::string_view type, Gva address) const {
        return {memory.space(), *types.catalog, *types.catalog->find(type), address};
    }
    [[nodiscard]] std::int64_t number(const Result<Object>& object) const {
        if (!object) return ADD_FAILURE() << object.error().to_string(), 0;
        const auto value = object->as_signed();
        if (!value) return ADD_FAILURE() << value.error().to_string(), 0;
        return *value;
    }

    ObjectFixture memory;
    test::ObjectTypes types;
    Object thing = object("struct thing", kThing);
};

TEST_F(ObjectTest, IsARegularValue) {
    static_assert(std::is_default_constructible_v<Object> && std::is_copy_assignable_v<Object>);
    Object other;
    EXPECT_EQ(other.kind(), TypeKind::void_);
    EXPECT_EQ(other.size(), std::nullopt);
    EXPECT_EQ(other.address(), std::nullopt);
    EXPECT_FALSE(other.member("x").has_value());
    EXPECT_FALSE(other.at(0).has_value());
    EXPECT_FALSE(other.deref().has_value());
    EXPECT_FALSE(other.as_unsigned().has_value());
    EXPECT_FALSE(other.snapshot().has_value());
    EXPECT_FALSE(other.cast("int").has_value());
    EXPECT_FALSE(other.container_of("thing", "id").has_value());
    other = thing;
    EXPECT_EQ(other.type_name(), "struct thing");
    EXPECT_EQ(other.size(), 400u);
    EXPECT_EQ(other.address(), kThing);
}

TEST_F(ObjectTest, NumbersHaveTheSignAndSizeOfTheirType) {
    EXPECT_EQ(number(thing.member("id")), -5);
    EXPECT_EQ(thing.member("id")->as_unsigned().value(), 0xffff'fffbu);
    EXPECT_EQ(thing.member("raw")->as_unsigned().value(), 0x1122'3344'5566'7788u);
    EXPECT_EQ(number(thing.member("high")), 0x1122'3344);
    EXPECT_EQ(number(thing.member("wide")), -2);
    EXPECT_EQ(thing.member("bytes[3]")->as_unsigned().value(), 0xf3u);
    EXPECT_TRUE(thing.member("flag")->as_boolean().value());
    EXPECT_EQ(thing.member("ratio")->as_real().value(), 1.5);
    EXPECT_EQ(thing.member("id")->as_real().error().code, Errc::usage);
    EXPECT_EQ(thing.as_unsigned().error().code, Errc::usage);
    EXPECT_EQ(thing.member("first")->as_signed().error().code, Errc::out_of_range);  // a kernel address
}

TEST_F(ObjectTest, BitFields) {
    EXPECT_EQ(thing.member("a")->as_unsigned().value(), 1u);
    EXPECT_EQ(number(thing.member("b")), -3);  // 0b101
    EXPECT_EQ(thing.member("b")->as_unsigned().value(), 5u);
    EXPECT_EQ(thing.member("c")->as_enumerator().value(), "BLUE");
    EXPECT_EQ(thing.member("b")->bit_size(), 3u);
    EXPECT_EQ(thing.member("b")->address(), std::nullopt);
    EXPECT_EQ(thing.member("b")->address_of().error().code, Errc::usage);
    // 63 bits from bit 5 of a byte on: nine bytes.
    EXPECT_EQ(thing.member("straddle")->as_unsigned().value(),
              (0xa000'0000'0000'001full >> 5 | 0xffull << 59) & ~0ull >> 1);
    const auto copy = thing.snapshot();
    ASSERT_TRUE(copy.has_value());
    EXPECT_EQ(copy->member("straddle")->as_unsigned().value(), thing.member("straddle")->as_unsigned().value());
    EXPECT_EQ(copy->member("b")->snapshot()->as_signed().value(), -3);
}

TEST_F(ObjectTest, Enumerators) {
    EXPECT_EQ(thing.member("state")->as_enumerator().value(), "BLUE");
    EXPECT_EQ(thing.member("depth")->as_enumerator().value(), "NONE");
    memory.put(at(4), std::uint32_t{9});
    EXPECT_EQ(thing.member("state")->as_enumerator().value(), std::nullopt);
    EXPECT_EQ(number(thing.member("state")), 9);
    EXPECT_EQ(thing.member("id")->as_enumerator().error().code, Errc::usage);
}

TEST_F(ObjectTest, PathsFollowPointers) {
    EXPECT_EQ(number(thing.member("first.value")), -42);
    EXPECT_EQ(number(thing.member("first->value")), -42);
    EXPECT_EQ(number(thing.member("inner.next.value")), -42);
    EXPECT_EQ(number(thing.member("table[39]")), 39);
    EXPECT_EQ(number(thing.member("first[0].value")), -42);
    EXPECT_EQ(number(thing.member("matrix[1][1]")), 4);
    EXPECT_EQ(number(thing.member("matrix")->member("[0][0]")), 1);
    EXPECT_EQ(number(thing.member("first")->member("value")), -42);
    const Field value = *types.catalog->field(*types.catalog->find("node"), "value");
    EXPECT_EQ(number(thing.member("first")->member(value)), -42);
    EXPECT_EQ(number(thing.member("inner")->member(value)), 11);
}

TEST_F(ObjectTest, ErrorsSayWhatIsMissingAndWhere) {
    const Error absent = thing.member("first.nothing").error();
    EXPECT_EQ(absent.code, Errc::not_found);
    EXPECT_THAT(absent.to_string(), HasSubstr("no member 'nothing' in 'struct node'"));
    // The node behind the first one lies in the hole: its address is known, its members are not.
    const auto next = thing.member("first.next.value");
    ASSERT_TRUE(next.has_value());
    const Error hole = next->as_signed().error();
    EXPECT_EQ(hole.code, Errc::not_present);
    EXPECT_TRUE(hole.has_address);
    EXPECT_EQ(hole.address, ObjectFixture::kHole.value + 8);
    const Error through = thing.member("first.next.next.value").error();
    EXPECT_EQ(through.code, Errc::not_present);
    EXPECT_EQ(through.address, ObjectFixture::kHole.value);
    EXPECT_THAT(through.to_string(), HasSubstr("first.next.next: "));
    memory.put(kNode, std::uint64_t{0});
    const Error null = thing.member("first.next.value").error();
    EXPECT_EQ(null.code, Errc::not_found);
    EXPECT_THAT(null.to_string(), HasSubstr("first.next: the pointer 'struct node *' is NULL"));
    EXPECT_EQ(null.address, kNode.value);
    for (const char* bad : {"", ".id", "id.", "id..x", "table[", "table[x]", "table[1", "table[1]x", "table[-1]",
                            "id->", "first-value", "table[18446744073709551616]"}) {
        EXPECT_FALSE(thing.member(bad).has_value()) << bad;
    }
    EXPECT_EQ(thing.member(std::string(2000, 'a')).error().code, Errc::usage);
    EXPECT_EQ(thing.member("id.x").error().code, Errc::not_found);
}

TEST_F(ObjectTest, ElementsAreBounded) {
    EXPECT_EQ(thing.member("table[40]").error().code, Errc::out_of_range);
    EXPECT_EQ(thing.member("table")->at(40).error().code, Errc::out_of_range);
    EXPECT_EQ(thing.member("id")->at(0).error().code, Errc::usage);
    EXPECT_EQ(thing.member("rest[3]")->address(), at(400 + 3 * 16));  // flexible: no end
    EXPECT_EQ(thing.member("first[2]")->address(), kNode.wrap_plus(32));
    EXPECT_FALSE(thing.member("first")->at(~std::uint64_t{0}).has_value());
    EXPECT_FALSE(thing.member("rest")->at(std::uint64_t{1} << 60).has_value());
    EXPECT_EQ(thing.member("anything")->at(1).error().code, Errc::out_of_range);  // void has no size
}

TEST_F(ObjectTest, AddressesThatWouldWrapAreErrors) {
    const Object high = object("thing", Gva{~std::uint64_t{0} - 16});
    EXPECT_EQ(high.member("first").error().code, Errc::out_of_range);
    const Object low = object("int", Gva{4});
    EXPECT_EQ(low.container_of("thing", "first").error().code, Errc::out_of_range);
}

TEST_F(ObjectTest, Text) {
    EXPECT_EQ(thing.member("name")->as_string(64)->bytes, "a\x1b name");
    EXPECT_FALSE(thing.member("name")->as_string(64)->truncated);
    EXPECT_EQ(thing.member("name")->as_string(3)->bytes, "a\x1b ");
    EXPECT_TRUE(thing.member("name")->as_string(3)->truncated);
    EXPECT_EQ(thing.member("title")->as_string(64)->bytes, "a title");
    EXPECT_TRUE(thing.member("title")->as_string(2)->truncated);
    memory.put_text(at(16), "sixteen letters!");  // no NUL: the array ends it
    EXPECT_EQ(thing.member("name")->as_string(64)->bytes, "sixteen letters!");
    EXPECT_FALSE(thing.member("name")->as_string(64)->truncated);
    EXPECT_EQ(thing.snapshot()->member("name")->as_string(64)->bytes, "sixteen letters!");
    EXPECT_FALSE(thing.snapshot()->member("name")->as_string(64)->truncated);
    EXPECT_TRUE(thing.snapshot()->member("name")->as_string(5)->truncated);
    EXPECT_EQ(thing.member("id")->as_string(8).error().code, Errc::usage);
    EXPECT_EQ(thing.member("table")->as_string(8).error().code, Errc::usage);
    EXPECT_EQ(thing.member("first")->as_string(8).error().code, Errc::usage);
}

TEST_F(ObjectTest, ContainerOf) {
    const Object inner = *thing.member("inner");
    EXPECT_EQ(inner.container_of("struct thing", "inner")->address(), kThing);
    EXPECT_EQ(number(inner.container_of("thing", "inner")->member("id")), -5);
    memory.put(kNode, at(56).value);  // a pointer to the member
    EXPECT_EQ(thing.member("first.next")->container_of("thing", "inner")->address(), kThing);
    EXPECT_EQ(thing.member("pairs[1]")->container_of("thing", "pairs[1]")->address(), kThing);
    EXPECT_EQ(inner.container_of("thing", "b").error().code, Errc::usage);
    EXPECT_EQ(inner.container_of("thing", "nothing").error().code, Errc::not_found);
    EXPECT_EQ(inner.container_of("nothing", "inner").error().code, Errc::not_found);
    EXPECT_EQ(Object::of_value(memory.space(), *types.catalog, *types.catalog->find("int"), 3)
                  .container_of("thing", "id")
                  .error()
                  .code,
              Errc::usage);
}

TEST_F(ObjectTest, AddressOfMakesPointersThatNeedNoTypeOfTheirOwn) {
    const Object pointer = *thing.address_of();
    EXPECT_EQ(pointer.type_name(), "struct thing *");
    EXPECT_EQ(pointer.kind(), TypeKind::pointer);
    EXPECT_EQ(pointer.as_address().value(), kThing);
    EXPECT_EQ(number(pointer.member("id")), -5);
    EXPECT_EQ(pointer.deref()->type_name(), "struct thing");
    EXPECT_EQ(pointer.at(1)->address(), at(400));
    EXPECT_EQ(pointer.address_of().error().code, Errc::usage);  // it lies nowhere
    EXPECT_EQ(thing.member("table")->address_of()->type_name(), "int (*)[40]");
    EXPECT_EQ(thing.member("table")->address_of()->at(0)->type_name(), "int [40]");
}

TEST_F(ObjectTest, Casts) {
    EXPECT_EQ(thing.member("anything")->cast("struct thing *")->member("id")->as_signed().value(), -5);
    EXPECT_EQ(thing.member("anything")->cast("struct thing **")->type_name(), "struct thing **");
    EXPECT_EQ(thing.member("first")->cast("long unsigned int")->as_unsigned().value(), kNode.value);
    EXPECT_EQ(thing.member("id")->cast("long int")->as_signed().value(), -5);
    EXPECT_EQ(thing.member("id")->cast("long unsigned int")->as_unsigned().value(), 0xffff'ffff'ffff'fffbu);
    EXPECT_EQ(thing.member("raw")->cast("unsigned char")->as_unsigned().value(), 0x88u);
    EXPECT_EQ(thing.member("id")->cast("number_t")->type_name(), "number_t");
    EXPECT_EQ(thing.member("wide")->cast("_Bool")->as_unsigned().value(), 1u);
    EXPECT_EQ(thing.member("inner")->cast("struct thing")->address(), at(56));
    EXPECT_EQ(thing.member("anything")->cast("void *")->type_name(), "void *");
    EXPECT_EQ(thing.cast("nothing").error().code, Errc::not_found);
    EXPECT_EQ(thing.cast("int **********").error().code, Errc::usage);
    EXPECT_EQ(thing.cast("").error().code, Errc::not_found);
    EXPECT_EQ(thing.member("id")->cast("int")->cast("struct thing").error().code,
              Errc::usage);  // a value is no structure
}

TEST_F(ObjectTest, SnapshotsAnswerWithoutReadingAgain) {
    const Object copy = *thing.snapshot();
    const std::size_t before = memory.operations();
    memory.put(kThing, std::int32_t{99});
    EXPECT_EQ(number(copy.member("id")), -5);
    EXPECT_EQ(number(copy.member("table[7]")), 7);
    EXPECT_EQ(copy.member("inner")->address(), at(56));
    EXPECT_EQ(copy.member("name")->as_string(64)->bytes, "a\x1b name");
    EXPECT_EQ(copy.member("pairs[1]")->snapshot()->address(), at(264 + 16));
    EXPECT_EQ(memory.operations(), before);
    EXPECT_EQ(number(copy.member("first.value")), -42);  // what it points to was not copied
    EXPECT_GT(memory.operations(), before);
    // Beyond the copy: refused, not read from the guest.
    EXPECT_EQ(copy.member("rest[0].value")->as_signed().error().code, Errc::out_of_range);
    EXPECT_EQ(copy.member("inner")->cast("thing")->member("rest[2].value")->as_signed().error().code,
              Errc::out_of_range);
    EXPECT_EQ(thing.snapshot(399).error().code, Errc::limit);
    EXPECT_EQ(object("thing", ObjectFixture::kHole.wrap_minus(8)).snapshot().error().address,
              ObjectFixture::kHole.value);
}

TEST_F(ObjectTest, ImmediateValues) {
    const Object value = Object::of_value(memory.space(), *types.catalog, *types.catalog->find("int"),
                                          0xffff'ffff'ffff'fff0);
    EXPECT_EQ(value.as_signed().value(), -16);
    EXPECT_EQ(value.as_unsigned().value(), 0xffff'fff0u);
    EXPECT_EQ(value.address(), std::nullopt);
    EXPECT_EQ(value.snapshot()->as_signed().value(), -16);
    EXPECT_EQ(value.address_of().error().code, Errc::usage);
    const Object whole = Object::of_value(memory.space(), *types.catalog, *types.catalog->find("thing"), 1);
    EXPECT_EQ(whole.member("id").error().code, Errc::usage);
}

TEST_F(ObjectTest, FunctionPointers) {
    const Object call = *thing.member("call");
    EXPECT_EQ(call.type_name(), "int (*)(int what)");
    EXPECT_EQ(call.as_address()->value, 0xffff'ffff'8100'0000u);
    EXPECT_EQ(call.deref()->kind(), TypeKind::function_prototype);
    EXPECT_EQ(call.deref()->as_unsigned().error().code, Errc::usage);
}

}  // namespace
}  // namespace vitrine
