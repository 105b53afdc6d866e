// Members of guest objects as C++ types.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "object_fixture.h"

namespace vitrine {
namespace {

using test::ObjectFixture;
using ::testing::HasSubstr;

class ObjectGet : public ::testing::Test {
protected:
    static constexpr Gva kThing = ObjectFixture::kFirst;
    static constexpr Gva kText = Gva{ObjectFixture::kLast.value};

    ObjectGet() {
        memory.put(kThing, std::int32_t{-5});                               // id
        memory.put(kThing.wrap_plus(8), std::uint64_t{300});                // raw
        memory.put_text(kThing.wrap_plus(16), "a\x1b name");                // name
        memory.put(kThing.wrap_plus(36), std::uint8_t{1});                  // flag
        memory.put(kThing.wrap_plus(40), std::uint8_t{0b0111'1011});        // a, b, c
        memory.put(kThing.wrap_plus(48), ObjectFixture::kHole.value);       // first
        memory.put(kThing.wrap_plus(80), kText.value);                      // title
        memory.put(kThing.wrap_plus(296), std::uint64_t{0x3ff8ull << 48});  // ratio: 1.5
        memory.put_text(kText, "a title");
    }

    ObjectFixture memory;
    test::ObjectTypes types;
    Object thing{memory.space(), *types.catalog, *types.catalog->find("struct thing"), kThing};
};

TEST_F(ObjectGet, ValuesOfMembers) {
    EXPECT_EQ(thing.get<std::int32_t>("id").value(), -5);
    EXPECT_EQ(thing.get<std::int64_t>("id").value(), -5);
    EXPECT_EQ(thing.get<std::uint16_t>("raw").value(), 300u);
    EXPECT_EQ(thing.get<int>("b").value(), -3);
    EXPECT_TRUE(thing.get<bool>("flag").value());
    EXPECT_EQ(thing.get<double>("ratio").value(), 1.5);
    EXPECT_EQ(thing.get<std::string>("name").value(), "a\x1b name");
    EXPECT_EQ(thing.get<std::string>("title").value(), "a title");
    EXPECT_EQ(thing.get<Gva>("first").value(), ObjectFixture::kHole);
    EXPECT_EQ(thing.get<std::uint64_t>("first").value(), ObjectFixture::kHole.value);
    EXPECT_EQ(thing.member("id")->as<std::int8_t>().value(), -5);
}

TEST_F(ObjectGet, NothingIsBentToFit) {
    EXPECT_EQ(thing.get<std::uint32_t>("id").error().code, Errc::out_of_range);
    EXPECT_EQ(thing.get<std::uint64_t>("id").error().code, Errc::out_of_range);
    EXPECT_EQ(thing.get<std::uint8_t>("raw").error().code, Errc::out_of_range);
    EXPECT_EQ(thing.get<std::int64_t>("first").error().code, Errc::out_of_range);  // a kernel address
    EXPECT_EQ(thing.get<std::string>("id").error().code, Errc::usage);
    EXPECT_EQ(thing.get<Gva>("id").error().code, Errc::usage);
    EXPECT_EQ(thing.get<double>("id").error().code, Errc::usage);
    EXPECT_EQ(thing.get<int>("inner").error().code, Errc::usage);
    EXPECT_EQ(Object().as<int>().error().code, Errc::usage);
    EXPECT_EQ(Object().as<std::string>().error().code, Errc::usage);
}

TEST_F(ObjectGet, ErrorsSayWhatIsMissing) {
    const auto missing = thing.get<int>("no_such_member");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, Errc::not_found);
    EXPECT_THAT(missing.error().to_string(), HasSubstr("no_such_member"));
    EXPECT_FALSE(thing.get<int>("first.value"));  // into the hole
}

// A text whose end is out of reach is not a shorter one.
TEST_F(ObjectGet, TextsWithoutEndAreNoTexts) {
    for (std::uint64_t i = 0; i < kPageSize; ++i) memory.put(kText.wrap_plus(i), std::uint8_t{'x'});
    EXPECT_EQ(thing.get<std::string>("title").error().code, Errc::limit);
    EXPECT_EQ(thing.member("title")->as_string(8)->bytes, "xxxxxxxx");
}

}  // namespace
}  // namespace vitrine
