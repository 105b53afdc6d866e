// Another operating system fits in beside Linux: a 32-bit guest, with or without PAE, UTF-16 names, types from another source.
#include "support/other_system.h"

#include <array>
#include <variant>

#include "support/guest_test_support.h"
#include "vitrine/base/text.h"
#include "vitrine/query/database.h"

namespace vitrine::test {
namespace {

using namespace vitrine::testing;

const std::vector<OtherProcess> kProcesses = {{4, 0, u"System"},
                                              {352, 4, u"smss.exe"},
                                              {1204, 352, u"\u017cwiersz \U0001f980.exe"},
                                              {1205, 352, u"odd \xd800 name"}};

// The Linux generators, and one more.
Table with_other(const Table& table, std::vector<Generator>& generators) {
    generators.assign(table.generators.begin(), table.generators.end());
    generators.push_back({kOtherSystem, other_processes, kOtherNeedGroups});
    return {table.spec, generators};
}

struct Names final : ResultSink {
    void columns(std::span<const ResultColumn>) override {}
    bool row(std::span<const Value> values) override {
        for (const Value& value : values) {
            const auto* text = std::get_if<std::string>(&value);
            const auto* number = std::get_if<std::int64_t>(&value);
            all += (text != nullptr ? *text : number != nullptr ? std::to_string(*number) : "NULL") + "|";
        }
        return true;
    }
    std::string all;
};

class OtherSystem : public ::testing::TestWithParam<PagingMode> {};

TEST_P(OtherSystem, AnswersTheSameTables) {
    auto guest = OtherGuest::make(GetParam(), kProcesses);
    std::vector<Generator> generators;
    const Table processes = with_other(*find_table("processes"), generators);
    const std::array<const Table*, 2> tables = {&processes, find_table("process_threads")};
    auto database = Database::open({{"old", *guest}}, tables);
    ASSERT_TRUE(database);
    Names names;
    auto report = (*database)->query("SELECT pid, parent, name, cmdline FROM processes ORDER BY pid", {}, names);
    ASSERT_TRUE(report) << report.error().to_string();
    EXPECT_TRUE(report->complete());
    EXPECT_EQ(
        names.all,
        "4|0|System|NULL|352|4|smss.exe|NULL|1204|352|\u017cwiersz \U0001f980.exe|NULL|1205|352|odd \ufffd name|NULL|");
    // What this system does not have is said.
    report = (*database)->query("SELECT * FROM process_threads", {}, names);
    ASSERT_TRUE(report);
    EXPECT_FALSE(report->complete());
    ASSERT_TRUE(report->readings[0].failure);
    EXPECT_EQ(report->readings[0].failure->code, Errc::unsupported);
}

TEST_P(OtherSystem, StandsBesideLinuxInOneQuestion) {
    auto other = OtherGuest::make(GetParam(), kProcesses);
    const SyntheticGuest made(GuestDescription{});
    auto linux_guest = attach(made.machine());
    ASSERT_TRUE(linux_guest);
    std::vector<Generator> generators;
    const Table processes = with_other(*find_table("processes"), generators);
    const std::array<const Table*, 1> tables = {&processes};
    auto database = Database::open({{"old", *other}, {"new", **linux_guest}}, tables);
    ASSERT_TRUE(database);
    Names names;
    ASSERT_TRUE((*database)->query("SELECT vm, count(*) > 3 FROM processes GROUP BY vm ORDER BY vm", {}, names));
    EXPECT_EQ(names.all, "new|1|old|1|");
}

// A pointer is as wide as the paging mode has it.
TEST_P(OtherSystem, PointersAreFourBytes) {
    auto guest = OtherGuest::make(GetParam(), kProcesses);
    EXPECT_EQ(guest->space().pointer_size(), 4u);
    const auto head = guest->space().read_pointer(Gva{OtherGuest::kHead});
    ASSERT_TRUE(head);
    EXPECT_EQ(head->value, OtherGuest::kFirst + 0x10);
    EXPECT_FALSE(guest->space().read_pointer(Gva{0x1'8001'0000}));
}

INSTANTIATE_TEST_SUITE_P(Modes32, OtherSystem, ::testing::Values(PagingMode::x86_32, PagingMode::x86_pae),
                         [](const auto& mode) { return mode.param == PagingMode::x86_32 ? "plain" : "pae"; });

TEST(Utf16, BecomesUtf8) {
    const auto of = [](std::u16string text) {
        std::string bytes;
        for (const char16_t unit : text) {
            bytes += static_cast<char>(unit & 0xff);
            bytes += static_cast<char>(unit >> 8);
        }
        return bytes;
    };
    EXPECT_EQ(utf16_to_utf8(of(u"a\u00e9\u20ac\U0001f980")), "a\u00e9\u20ac\U0001f980");
    EXPECT_EQ(utf16_to_utf8(of(u"\xdc00"
                               u"a\xd83e")),
              "\ufffda\ufffd");
    EXPECT_EQ(utf16_to_utf8(of(u"\xd83e\xd83e\xdd80")), "\ufffd\U0001f980");
    EXPECT_EQ(utf16_to_utf8(of(u"ab") + "c"), "ab");
    EXPECT_EQ(utf16_to_utf8(""), "");
    EXPECT_EQ(utf16_to_utf8(std::string("\0\0", 2)), std::string("\0", 1));
}

}  // namespace
}  // namespace vitrine::test
