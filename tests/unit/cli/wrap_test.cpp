#include "render/wrap.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <random>

#include "vitrine/base/text.h"

namespace vitrine::cli {
namespace {

using ::testing::ElementsAre;

TEST(Wrap, BreaksAtSpaces) {
    EXPECT_THAT(wrap_text("one two three", 7, 5), ElementsAre("one two", "three"));
    EXPECT_THAT(wrap_text("one two three", 5, 20), ElementsAre("one", "two three"));
    EXPECT_THAT(wrap_text("", 5, 5), ElementsAre(""));
    EXPECT_THAT(wrap_text("fits", 4, 1), ElementsAre("fits"));
    EXPECT_THAT(wrap_text("   0.52 ms  read", 10, 10), ElementsAre("   0.52 ms", "read"));
    EXPECT_THAT(wrap_text("a  b", 10, 10), ElementsAre("a  b"));
}

TEST(Wrap, BreaksWordsThatAreTooLong) {
    EXPECT_THAT(wrap_text("0123456789 ab", 4, 4), ElementsAre("0123", "4567", "89", "ab"));
    EXPECT_THAT(wrap_text("漢字漢字", 5, 5), ElementsAre("漢字", "漢字"));
    EXPECT_EQ(wrap_text("漢字", 1, 1).size(), 1u) << "ends, though nothing fits";
}

TEST(Wrap, HangsBelowTheText) {
    EXPECT_EQ(hanging_lines("  name ", "one two three", 7, 15), "  name one two\n       three\n");
    EXPECT_EQ(hanging_lines("  name ", "one two three", 7, std::nullopt), "  name one two three\n");
    EXPECT_EQ(hanging_lines("a very long name ", "one two", 17, 16), "a very long name\n        one two\n");
}

TEST(Wrap, NothingIsLostAndNothingIsTooWide) {
    std::mt19937 random(1);
    for (int round = 0; round < 2000; ++round) {
        std::string text;
        for (auto i = random() % 60; i > 0; --i) text += random() % 5 == 0 ? " " : random() % 9 == 0 ? "é" : "x";
        const std::size_t width = 1 + random() % 30;
        std::string joined;
        for (const std::string& line : wrap_text(text, width, width)) {
            EXPECT_LE(display_width(line), width);
            joined += line;
        }
        const auto without_spaces = [](std::string all) {
            std::erase(all, ' ');
            return all;
        };
        EXPECT_EQ(without_spaces(joined), without_spaces(text));
    }
}

}  // namespace
}  // namespace vitrine::cli
