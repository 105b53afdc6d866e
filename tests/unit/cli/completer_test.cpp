#include "shell/completer.h"

#include <gmock/gmock.h>

#include "fake_engine.h"

namespace vitrine::cli::test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

class Completer : public ::testing::Test {
protected:
    // The cursor is where the bar is.
    Completion at(std::string text) {
        const auto cursor = text.find('|');
        text.erase(cursor, 1);
        return complete(text, cursor, engine_.tables());
    }
    std::vector<std::string> offered(const std::string& text) { return at(text).candidates; }

private:
    Script script_;
    FakeEngine engine_{script_};
};

TEST_F(Completer, TablesAfterFrom) {
    EXPECT_THAT(offered("SELECT * FROM |"), ElementsAre("processes", "kernel_modules"));
    EXPECT_THAT(offered("SELECT * FROM proc|"), ElementsAre("processes"));
    EXPECT_THAT(offered("select * from PROC|"), ElementsAre("processes"));
    EXPECT_THAT(offered("SELECT * FROM processes JOIN ker|"), ElementsAre("kernel_modules"));
    EXPECT_THAT(offered("SELECT * FROM processes, k|"), ElementsAre("kernel_modules"));
    EXPECT_THAT(offered("SELECT (SELECT a FROM processes WHERE x IN (1, 2)) FROM |"),
                ElementsAre("processes", "kernel_modules"));
    EXPECT_THAT(offered("proc|"), ElementsAre("processes")) << "anywhere else too";
    EXPECT_EQ(at("SELECT * FROM proc|").begin, 14u);
}

TEST_F(Completer, ColumnsOfTheTablesThatAreNamed) {
    EXPECT_THAT(offered("SELECT ui| FROM processes"), ElementsAre("uid"));
    EXPECT_THAT(offered("SELECT siz| FROM processes"), IsEmpty());
    EXPECT_THAT(offered("SELECT siz| FROM kernel_modules"), ElementsAre("size"));
    EXPECT_THAT(offered("SELECT * FROM processes WHERE pid = 1 AND v|"), ElementsAre("vm", "values"));
    EXPECT_EQ(offered("SELECT * FROM processes WHERE na|").front(), "name") << "columns come before keywords";
    EXPECT_THAT(offered("SELECT |").size(), testing::Gt(20u));
    EXPECT_THAT(offered("SELECT * FROM processes WHERE |"),
                ElementsAre("pid", "name", "cmdline", "state", "uid", "parent", "threads", "start_time", "task", "vm"));
    EXPECT_THAT(offered("SELECT siz|"), ElementsAre("size")) << "of any table while none is named";
    EXPECT_THAT(offered("SELECT name, t| FROM processes"), Contains("task"));
    EXPECT_THAT(offered("SELECT name, k| FROM processes"), ElementsAre("kernel_modules")) << "a comma of SELECT";
}

TEST_F(Completer, ColumnsBehindADot) {
    EXPECT_THAT(offered("SELECT p.st| FROM processes p"), ElementsAre("state", "start_time"));
    EXPECT_THAT(offered("SELECT p.st| FROM processes AS p JOIN kernel_modules m"), ElementsAre("state", "start_time"));
    EXPECT_THAT(offered("SELECT m.| FROM processes AS p JOIN kernel_modules m"),
                ElementsAre("name", "size", "address", "vm"));
    EXPECT_THAT(offered("SELECT kernel_modules.s|"), ElementsAre("size"));
    EXPECT_THAT(offered("SELECT x.s| FROM processes"), IsEmpty());
    EXPECT_EQ(at("SELECT p.st| FROM processes p").begin, 9u);
}

TEST_F(Completer, FunctionsAndKeywords) {
    EXPECT_THAT(offered("SELECT addr|"), ElementsAre("addr(", "addr_lt(", "address"));
    EXPECT_THAT(offered("SELECT json_g| FROM processes"), ElementsAre("json_group_array(", "json_group_object("));
    EXPECT_THAT(offered("sel|"), ElementsAre("select"));
    EXPECT_THAT(offered("SEL|"), ElementsAre("SELECT"));
    EXPECT_THAT(offered("SELECT 1 FROM processes GRO|"), ElementsAre("group_concat(", "GROUP"));
    EXPECT_THAT(offered("|"), ElementsAre("SELECT", "WITH", "VALUES"));
}

TEST_F(Completer, NothingInsideTextsAndComments) {
    for (const char* text : {"SELECT 'proc|", "SELECT 'it''s pro|", "SELECT 1 -- FROM pro|", "SELECT 1 /* FROM pro|",
                             "SELECT \"pro|", "SELECT [pro|", "SELECT 12|", "SELECT 'done'|"})
        EXPECT_THAT(offered(text), IsEmpty()) << text;
    EXPECT_THAT(offered("SELECT 'it''s' FROM proc|"), ElementsAre("processes"));
    EXPECT_THAT(offered("-- a note\nSELECT * FROM -- which?\n proc|"), ElementsAre("processes"));
}

TEST_F(Completer, DotCommands) {
    EXPECT_THAT(offered(".m|"), ElementsAre(".mode"));
    EXPECT_THAT(offered(".|"), Contains(".quit"));
    EXPECT_THAT(offered(".mode |"), ElementsAre("table", "json", "ndjson", "csv", "line"));
    EXPECT_THAT(offered(".mode j|"), ElementsAre("json"));
    EXPECT_THAT(offered(".schema pr|"), ElementsAre("processes"));
    EXPECT_THAT(offered(".schema |"), ElementsAre("processes", "kernel_modules"));
    EXPECT_THAT(offered(".paused o|"), ElementsAre("on", "off"));
    EXPECT_THAT(offered(".output s|"), ElementsAre("stdout"));
    EXPECT_THAT(offered(".schema processes k|"), IsEmpty());
    EXPECT_THAT(offered(".nope x|"), IsEmpty());
    EXPECT_EQ(at(".schema pr|").begin, 8u);
}

TEST_F(Completer, WhatIsInsertedWithoutAChoice) {
    EXPECT_EQ(unambiguous({0, {"processes"}}, "proc"), "processes ");
    EXPECT_EQ(unambiguous({0, {"addr("}}, "ad"), "addr(");
    EXPECT_EQ(unambiguous({0, {"process_threads", "processes"}}, "pr"), "process");
    EXPECT_EQ(unambiguous({0, {"process_threads", "processes"}}, "process"), "");
    EXPECT_EQ(unambiguous({0, {"SELECT", "select"}}, "s"), "SELECT");
    EXPECT_EQ(unambiguous({0, {"a", "b"}}, ""), "");
    EXPECT_EQ(unambiguous({0, {}}, "x"), "");
}

// Whatever is typed, wherever the cursor is.
TEST_F(Completer, IsTotal) {
    Script script;
    const FakeEngine engine(script);
    const std::string text = "SELECT p.x, 'a' FROM (SELECT ,, ) ) processes p -- x\n JOIN [a] .. ; /* \xff\xfe";
    for (std::size_t cursor = 0; cursor <= text.size() + 3; ++cursor)
        EXPECT_LE(complete(text, cursor, engine.tables()).begin, cursor);
}

}  // namespace
}  // namespace vitrine::cli::test
