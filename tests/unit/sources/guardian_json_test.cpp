// The guardian's reader of QMP objects, which allocates nothing.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "sources/guardian/qmp_channel.h"

namespace vitrine::guardian {
namespace {

TextView view(const std::string& text) { return {text.data(), text.size()}; }

std::string member(const std::string& object, const char* key) {
    TextView value;
    return json_member(view(object), key, &value) ? std::string(value.data, value.size) : "(none)";
}

TEST(GuardianJson, Members) {
    const std::string reply = R"({"return": {"status": "running", "singlestep": false, "running": true}, "id": 7})";
    EXPECT_EQ(member(reply, "id"), "7");
    EXPECT_EQ(member(member(reply, "return"), "running"), "true");
    EXPECT_EQ(member(member(reply, "return"), "status"), "\"running\"");
    EXPECT_EQ(member(reply, "running"), "(none)") << "only at the top";
    EXPECT_EQ(member(R"({ "return" : {} })", "return"), "{}");
    EXPECT_EQ(member(R"({"a": [1, {"return": 2}], "b": "x,}\"return\": 1"})", "return"), "(none)");
    EXPECT_EQ(member(R"({"a": [1, {"return": 2}], "b": "x,}\"", "c": 3})", "c"), "3");
    EXPECT_EQ(member("{}", "a"), "(none)");
    EXPECT_EQ(member("", "a"), "(none)");
    EXPECT_EQ(member("[1]", "a"), "(none)");
    EXPECT_EQ(member(R"({"a")", "a"), "(none)");
    EXPECT_EQ(member(R"({"a":)", "a"), "");
}

TEST(GuardianJson, WhereAnObjectEnds) {
    EXPECT_EQ(json_object_length(view("{\"a\": 1}\r\n{\"b\"")), 8);
    EXPECT_EQ(json_object_length(view("\r\n {\n \"a\": {}\n}\n")), 15);
    EXPECT_EQ(json_object_length(view("{\"a\": \"}\"")), 0) << "not complete";
    EXPECT_EQ(json_object_length(view("{\"a\": \"\\\"}\"}")), 12);
    EXPECT_EQ(json_object_length(view("")), 0);
    EXPECT_EQ(json_object_length(view("HTTP/1.1")), -1);
    EXPECT_EQ(json_object_length(view(std::string(1000, '{'))), -1) << "too deep";
}

TEST(GuardianJson, AnyBytes) {
    std::mt19937 random(11);
    const std::string alphabet = "{}[]\":,\\ a1\r\n";
    for (int round = 0; round < 50000; ++round) {
        std::string text(random() % 40, ' ');
        for (char& c : text) c = alphabet[random() % alphabet.size()];
        const std::ptrdiff_t length = json_object_length(view(text));
        ASSERT_LE(length, static_cast<std::ptrdiff_t>(text.size()));
        TextView value;
        if (json_member(view(text), "a", &value)) {
            ASSERT_GE(value.data, text.data());
            ASSERT_LE(value.data + value.size, text.data() + text.size());
        }
    }
}

}  // namespace
}  // namespace vitrine::guardian
