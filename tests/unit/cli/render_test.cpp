#include <gmock/gmock.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "fake_engine.h"
#include "render/json.h"
#include "render/row_writer.h"
#include "render/table_writer.h"
#include "vitrine/base/text.h"

namespace vitrine::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const std::vector<OutputColumn> kColumns{{"pid", ColumnType::integer},
                                         {"name", ColumnType::text},
                                         {"task", ColumnType::address},
                                         {"cmdline", ColumnType::text}};

std::string render(const Style& style, const std::vector<std::vector<Value>>& rows,
                   const std::vector<OutputColumn>& columns = kColumns) {
    test::TemporaryFile file;
    Output output(file.fd());
    const auto writer = make_row_writer(output, style, columns);
    for (const auto& row : rows) writer->row(row);
    writer->finish();
    output.flush();
    EXPECT_TRUE(output.ok());
    return file.text();
}

Style style_of(Format format) {
    Style style;
    style.format = format;
    return style;
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < text.size();) {
        const auto end = text.find('\n', at);
        lines.push_back(text.substr(at, end - at));
        at = end == std::string::npos ? text.size() : end + 1;
    }
    return lines;
}

const std::vector<Value> kPlainRow{std::int64_t{1}, std::string("init"), AddressValue{0xffff888000000000},
                                   std::string("/sbin/init splash")};
const std::vector<Value> kNullRow{std::int64_t{4711}, std::string("kthreadd"), Value(), Value()};

TEST(Table, AlignsColumnsAndShowsNull) {
    EXPECT_THAT(
        lines_of(render(style_of(Format::table), {kPlainRow, kNullRow})),
        ElementsAre(" pid  name                    task  cmdline",
                    "   1  init      0xffff888000000000  /sbin/init splash", "4711  kthreadd                   -  -"));
}

TEST(Table, HeaderCanBeLeftOut) {
    Style style = style_of(Format::table);
    style.header = false;
    EXPECT_THAT(render(style, {kPlainRow}), Not(HasSubstr("cmdline")));
}

TEST(Table, HostileTextStaysOnItsLine) {
    const std::string evil =
        "a\nb\r\x1b]0;owned\x07\x9b"
        "2J\xe2\x80\xae"
        "exe\xff\x00"
        "end";
    const std::string text = render(style_of(Format::table), {{std::int64_t{1}, evil, Value(),
                                                               std::string("\xc2\x9b"
                                                                           "1m")}});
    EXPECT_EQ(lines_of(text).size(), 2u);
    for (const char c : text) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20) << static_cast<int>(c);
    EXPECT_THAT(text, HasSubstr("a\\nb\\r\\x1b]0;owned\\x07"));
    EXPECT_THAT(text, HasSubstr("\\u202e"));
    EXPECT_THAT(text, HasSubstr("\\x9b1m"));
    EXPECT_THAT(text, HasSubstr("\xEF\xBF\xBD"));
}

TEST(Table, FitsTheWidthWithAnEllipsis) {
    Style style = style_of(Format::table);
    std::vector<std::vector<Value>> rows{kPlainRow, kNullRow};
    rows.push_back({std::int64_t{7}, std::string("wide"), AddressValue{1}, std::string(5000, 'z')});
    rows.push_back({std::int64_t{8}, std::string("漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字"), AddressValue{1},
                    std::string("漢字漢字漢字漢字漢字漢字漢字漢字漢字")});
    for (const std::size_t width : {1u, 2u, 10u, 24u, 40u, 61u, 80u, 200u}) {
        style.width = width;
        for (const std::string& line : lines_of(render(style, rows))) EXPECT_LE(display_width(line), width) << line;
    }
    style.width = 60;
    EXPECT_THAT(render(style, rows), HasSubstr("zzz…\n"));
}

TEST(Table, NeverCutsWithoutAWidth) {
    const std::string text = render(
        style_of(Format::table),
        {{std::int64_t{7}, std::string(3000, 'n'), AddressValue{1}, std::string(5000, 'z')}, kPlainRow});
    EXPECT_THAT(text, HasSubstr(std::string(3000, 'n')));
    EXPECT_THAT(text, HasSubstr(std::string(5000, 'z')));
    EXPECT_LT(text.size(), 9000u) << "one long name must not pad every row";
}

TEST(Table, RowsBehindTheSampleAreWrittenToo) {
    std::vector<std::vector<Value>> rows(2500, kPlainRow);
    EXPECT_EQ(lines_of(render(style_of(Format::table), rows)).size(), 2501u);
}

TEST(Table, ColorOnlyWhenAsked) {
    Style style = style_of(Format::table);
    EXPECT_THAT(render(style, {kNullRow}), Not(HasSubstr("\x1b")));
    style.color = true;
    EXPECT_THAT(render(style, {kNullRow}), HasSubstr("\x1b[1m"));
}

TEST(Table, HintsAreForPeople) {
    EXPECT_EQ(table_text(Value(std::int64_t{1536}), Hint::bytes), "1.5 KiB");
    EXPECT_EQ(table_text(Value(std::int64_t{512} << 20), Hint::bytes), "512 MiB");
    EXPECT_EQ(table_text(Value(std::int64_t{1704067200}), Hint::time), "2024-01-01 00:00:00");
    EXPECT_EQ(table_text(Value(std::numeric_limits<std::int64_t>::max()), Hint::time), "9223372036854775807");
    EXPECT_EQ(table_text(Value(std::numeric_limits<std::int64_t>::min()), Hint::time), "-9223372036854775808");
    EXPECT_EQ(size_text(~std::uint64_t{0}), "16 EiB");
}

TEST(Table, WidestColumnsShrinkFirst) {
    std::vector<std::size_t> widths{4, 30, 100, 10};
    fit_columns(widths, {false, true, true, true}, 80);
    EXPECT_EQ(widths[0], 4u);
    EXPECT_EQ(widths[1] + widths[2] + widths[3] + 4 + 6, 80u);
    EXPECT_EQ(widths[3], 10u);
    EXPECT_EQ(widths[1], 30u);
    std::vector<std::size_t> stuck{50, 50};
    fit_columns(stuck, {false, false}, 20);
    EXPECT_THAT(stuck, ElementsAre(50u, 50u));
}

TEST(Json, ParsesAndKeepsTheTypes) {
    const auto parsed = nlohmann::json::parse(render(style_of(Format::json), {kPlainRow, kNullRow}));
    ASSERT_EQ(parsed.size(), 2u);
    EXPECT_EQ(parsed[0]["pid"], 1);
    EXPECT_EQ(parsed[0]["task"], "0xffff888000000000");
    EXPECT_TRUE(parsed[1]["cmdline"].is_null());
}

TEST(Json, EmptyIsAnEmptyArray) { EXPECT_EQ(render(style_of(Format::json), {}), "[]\n"); }

TEST(Json, LinesAreObjects) {
    const auto lines = lines_of(render(style_of(Format::ndjson), {kPlainRow, kNullRow}));
    ASSERT_EQ(lines.size(), 2u);
    EXPECT_EQ(nlohmann::json::parse(lines[1])["pid"], 4711);
    EXPECT_EQ(render(style_of(Format::ndjson), {}), "");
}

// Every byte alone, and every code point that text may hold, goes through and comes out of another parser as it went in.
TEST(Json, EveryByteAndCodePointSurvives) {
    for (int b = 0; b < 256; ++b) {
        const std::string text(1, static_cast<char>(b));
        const auto parsed = nlohmann::json::parse(json_string(text));
        EXPECT_EQ(parsed.get<std::string>(), b < 0x80 ? text : "\xEF\xBF\xBD") << b;
    }
    const std::vector<std::string> texts{"\xc2\x9b", "\xe2\x80\xae", "\xf3\xa0\x80\xa1",    "\xf0\x9f\x98\x80",
                                         "漢",       "\xe2\x80\xa8", std::string("a\0b", 3)};
    for (const std::string& text : texts) {
        const std::string json = json_string(text);
        EXPECT_EQ(nlohmann::json::parse(json).get<std::string>(), text);
    }
    EXPECT_EQ(json_string("\xc2\x9b\xe2\x80\xae\xf3\xa0\x80\xa1\x7f\x1b"), R"("\u009b\u202e\udb40\udc21\u007f\u001b")");
}

TEST(Json, NumbersThatJsonLacks) {
    EXPECT_EQ(json_value(Value(std::numeric_limits<double>::quiet_NaN())), "null");
    EXPECT_EQ(json_value(Value(std::numeric_limits<std::int64_t>::min())), "-9223372036854775808");
    EXPECT_EQ(json_value(Value(AddressValue{~std::uint64_t{0}})), "\"0xffffffffffffffff\"");
}

TEST(Csv, QuotesWhereNeeded) {
    EXPECT_EQ(render(style_of(Format::csv), {kPlainRow, kNullRow}),
              "pid,name,task,cmdline\n1,init,0xffff888000000000,/sbin/init splash\n4711,kthreadd,,\n");
    EXPECT_EQ(csv_field(Value(std::string("a,b"))), "\"a,b\"");
    EXPECT_EQ(csv_field(Value(std::string("say \"x\""))), "\"say \"\"x\"\"\"");
    EXPECT_EQ(csv_field(Value(std::string("two\nlines"))), "\"two\nlines\"");
    EXPECT_EQ(csv_field(Value(std::string("tab\tstays"))), "tab\tstays");
    EXPECT_EQ(csv_field(Value(std::string(""))), "\"\"") << "an empty text is not NULL";
    EXPECT_EQ(csv_field(Value(std::string(" edge"))), "\" edge\"");
}

TEST(Csv, NoFormulaAndNoEscapeSequence) {
    for (const char* text : {"=1+1", "+1", "-bash", "@SUM(A1)", "'quoted"})
        EXPECT_EQ(csv_field(Value(std::string(text))), "'" + std::string(text));
    EXPECT_EQ(csv_field(Value(std::string("=a,b"))), "\"'=a,b\"");
    EXPECT_EQ(csv_field(Value(std::string("\t=1"))), "'\t=1");
    EXPECT_EQ(csv_field(Value(std::int64_t{-5})), "-5") << "numbers are ours";
    EXPECT_EQ(csv_field(Value(std::string("\x1b[2J"))), "\\x1b[2J");
    EXPECT_EQ(csv_field(Value(std::string("\xff"))), "\xEF\xBF\xBD");
}

TEST(Csv, HeaderWithoutRows) {
    EXPECT_EQ(render(style_of(Format::csv), {}), "pid,name,task,cmdline\n");
    Style style = style_of(Format::csv);
    style.header = false;
    EXPECT_EQ(render(style, {kNullRow}), "4711,kthreadd,,\n");
}

TEST(JsonWriter, NestsAndSeparates) {
    test::TemporaryFile file;
    Output output(file.fd());
    JsonWriter json(output, 2);
    json.begin_object();
    json.key("a");
    json.begin_array();
    json.integer(1);
    json.null();
    json.begin_object();
    json.end_object();
    json.end_array();
    json.key("b");
    json.text("x\"y");
    json.end_object();
    output.flush();
    EXPECT_EQ(nlohmann::json::parse(file.text()), nlohmann::json::parse(R"({"a": [1, null, {}], "b": "x\"y"})"));
}

}  // namespace
}  // namespace vitrine::cli
