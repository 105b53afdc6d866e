// Views: their files, the SQL that is made of them, and the user's own folder.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "app/embedded_files.h"
#include "fake_engine.h"
#include "model/help.h"
#include "views/sql_scan.h"
#include "views/view_command.h"

namespace vitrine::cli::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kGood =
    "-- a comment of no meaning\n"
    "-- @summary Long-running processes\n"
    "-- @description First line.\n-- @description Second line.\n"
    "-- @option --min-age -m number SECONDS: only older ones\n"
    "-- @option --name glob GLOB: only of this name\n"
    "-- @where name GLOB :name\n"
    "-- @argument NAME --name: the same as --name\n"
    "-- @columns pid, name\n"
    "-- @show name: '[' || name || ']'\n"
    "-- @sort pid:desc\n"
    "-- @example vitrine old qemu:web1 # of a guest\n"
    "SELECT pid, name FROM processes -- those; 'quoted'\n"
    "WHERE start_time < coalesce(:min_age, 0) /* :not_one ; */ OR name = ';:no' ;\n\n-- the end\n";

std::string mistake(std::string_view text, std::string_view name = "mine", bool built_in = false) {
    const auto view = parse_view(name, text, built_in);
    return view ? "none" : fmt::format("{}: {}", view.error().line, view.error().text);
}

TEST(ViewFile, EverythingItCanSay) {
    const auto view = parse_view("old", kGood, false);
    ASSERT_TRUE(view) << view.error().line << view.error().text;
    EXPECT_EQ(view->summary, "Long-running processes");
    EXPECT_EQ(view->description, "First line. Second line.");
    ASSERT_EQ(view->options.size(), 2u);
    EXPECT_EQ(view->options[0].name, "--min-age");
    EXPECT_EQ(view->options[0].short_name, "-m");
    EXPECT_EQ(view->options[0].value, "SECONDS");
    EXPECT_EQ(view->options[0].parameter(), "min_age");
    EXPECT_EQ(view->options[1].condition, "name GLOB :name");
    EXPECT_EQ(view->arguments.at(0).option, "--name");
    EXPECT_THAT(view->columns, ElementsAre("pid", "name"));
    EXPECT_EQ(view->shows.at(0).expression, "'[' || name || ']'");
    EXPECT_EQ(view->sort, "pid:desc");
    EXPECT_EQ(view->examples.at(0).what, "of a guest");
    EXPECT_TRUE(view->sql.ends_with("OR name = ';:no'")) << view->sql;
    EXPECT_EQ(view->table, "") << "conditions of its own: not the table as it is";
    EXPECT_EQ(parse_view("t", "-- @summary s\nselect * from processes;", false)->table, "processes");
}

TEST(ViewFile, MistakesAreToldWithTheirLine) {
    EXPECT_EQ(mistake("SELECT 1"), "1: there is no @summary");
    EXPECT_EQ(mistake("-- @summary s\n\n"), "3: there is no SELECT");
    EXPECT_EQ(mistake("-- @summary s\n-- @colums a\nSELECT 1"), "2: there is no @colums");
    EXPECT_EQ(mistake("-- @summary s\n-- @summary t\nSELECT 1"), "2: a second @summary");
    EXPECT_EQ(mistake("-- @summary\nSELECT 1"), "1: nothing follows @summary");
    EXPECT_EQ(mistake("-- @summary s\nDELETE FROM processes"), "2: a view is a SELECT, not 'DELETE'");
    EXPECT_EQ(mistake("-- @summary s\nSELECT 1;\nSELECT 2"),
              "2: a view is one statement: something follows the semicolon");
    EXPECT_EQ(mistake("-- @summary s\nSELECT\n 'a"), "3: a string or comment begins here and does not end");
    EXPECT_EQ(mistake("-- @summary s\nSELECT /* a"), "2: a string or comment begins here and does not end");
    EXPECT_EQ(mistake("-- @summary s\nSELECT\n\n :x"), "4: no option gives the parameter :x");
    EXPECT_THAT(mistake("-- @summary s\nSELECT (1"), HasSubstr("2: the SELECT has a parenthesis that is not closed"));
    EXPECT_THAT(mistake("-- @summary s\nSELECT 1) AS v, (SELECT 2"),
                HasSubstr("closes a parenthesis that is not open"));
    EXPECT_THAT(mistake("-- @summary s\nSELECT ?1"), HasSubstr("2: the SELECT holds '?'"));
    EXPECT_THAT(mistake("-- @summary s\n-- @where a = 1\nSELECT 1"), HasSubstr("2: @where stands before any @option"));
    EXPECT_THAT(mistake("-- @summary s\n-- @show a: 1 -- x\nSELECT 1"), HasSubstr("2: @show holds a comment"));
    EXPECT_THAT(mistake("-- @summary s\n-- @columns a,,b\nSELECT 1"), HasSubstr("2: @columns"));
    EXPECT_THAT(mistake("-- @summary s\n-- @example vitrine x\nSELECT 1"), HasSubstr("2: @example is"));
    EXPECT_THAT(mistake("-- @summary s\n-- @answered-by-program\nSELECT 1"),
                HasSubstr("2: @answered-by-program is for built-in"));
    EXPECT_THAT(mistake("-- @summary s\nSELECT 1", "No Name"), HasSubstr("1: a view's file is named as its command"));
}

TEST(ViewFile, MistakesOfOptions) {
    const auto of = [](std::string_view lines) { return mistake(fmt::format("-- @summary s\n{}\nSELECT 1", lines)); };
    EXPECT_THAT(of("-- @option --pid number: x"), HasSubstr("2: a flag takes no value"));
    EXPECT_THAT(of("-- @option --pid flag N: x"), HasSubstr("2: a flag takes no value"));
    EXPECT_THAT(of("-- @option --pid integer N: x"), HasSubstr("'integer' is no kind of value"));
    EXPECT_THAT(of("-- @option pid number N: x"), HasSubstr("'pid' is no name for an option"));
    EXPECT_THAT(of("-- @option --pid -pp number N: x"), HasSubstr("'-pp' is no short name"));
    EXPECT_THAT(of("-- @option --pid number N"), HasSubstr("@option is --name"));
    EXPECT_THAT(of("-- @option --format text N: x"), HasSubstr("every command has --format already"));
    EXPECT_THAT(of("-- @option --fix -f text N: x"), HasSubstr("every command has -f already"));
    EXPECT_THAT(of("-- @option --pid number N: x\n-- @where a = 1\n-- @option --pid number N: x"),
                HasSubstr("4: a second option --pid"));
    EXPECT_THAT(of("-- @option --pid number N: x\n-- @where a = 1\n-- @where b = 1"),
                HasSubstr("4: a second @where for --pid"));
    EXPECT_THAT(of("-- @option --pid number N: x\n-- @where a = :b"), HasSubstr("3: its parameter is :pid, not :b"));
    EXPECT_THAT(of("-- @option --pid number N: x"), HasSubstr("3: --pid does nothing"));
    EXPECT_THAT(of("-- @option --pid number N: x\n-- @where a = :pid) OR (1"),
                HasSubstr("3: @where closes a parenthesis"));
    EXPECT_THAT(of("-- @argument PID --pid: x"), HasSubstr("2: there is no option --pid before it"));
    EXPECT_THAT(of("-- @argument pid --pid: x"), HasSubstr("2: @argument is NAME --option"));
}

TEST(ViewFile, HostileBytes) {
    EXPECT_EQ(mistake("-- @summary s\n-- \x1b[2J\nSELECT 1"), "2: holds a control character (0x1b)");
    EXPECT_EQ(mistake(std::string("-- @summary s\nSELECT\0 1", 24)), "2: holds a control character (0x00)");
    EXPECT_EQ(mistake("-- @summary s\n\xff\nSELECT 1"), "2: is not UTF-8 text");
    EXPECT_THAT(mistake(std::string(100'000, '-')), HasSubstr("1: is longer than 64 KiB"));
    EXPECT_NE(mistake(""), "none");
    // Whatever the bytes are: an answer, at a line that the file has.
    std::mt19937 random(1);
    for (int i = 0; i < 3000; ++i) {
        std::string text = kGood;
        for (int change = 0; change < 4; ++change) text[random() % text.size()] = static_cast<char>(random() % 256);
        if (i % 3 == 0) text.resize(random() % text.size());
        const auto view = parse_view("mine", text, false);
        if (view) continue;
        EXPECT_GE(view.error().line, 1u);
        EXPECT_LE(view.error().line, static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) + 1);
        EXPECT_FALSE(view.error().text.empty());
    }
}

TEST(ViewFile, BuiltInOnesAreGood) {
    EXPECT_GE(embedded_views().size(), 14u);
    for (const EmbeddedFile& file : embedded_views()) {
        const auto view = parse_view(file.name.substr(0, file.name.find('.')), file.text, true);
        ASSERT_TRUE(view) << file.name << ":" << view.error().line << ": " << view.error().text;
        EXPECT_FALSE(view->columns.empty()) << file.name;
    }
    // Their columns are those of their tables, so that a name that is mistyped is found.
    for (const ViewCommand* made : built_in_views()) {
        const View& view = made->view();
        const Table* table = view.table.empty() ? nullptr : find_table(view.table);
        if (table == nullptr) continue;
        for (const std::string& name : view.columns) {
            EXPECT_TRUE(std::any_of(table->spec.columns.begin(), table->spec.columns.end(),
                                    [&](const Column& column) { return column.name == name; }))
                << view.name << ": " << name;
        }
    }
}

TEST(SqlText, ParametersAreNumberedOutsideOfStringsAndComments) {
    std::vector<std::string> order{"b"};
    EXPECT_EQ(number_parameters("a = :a AND b = :b OR c = ':c' -- :d\n/* :e */ \":f\" [:g] `:h` :a", order),
              "a = ?2 AND b = ?1 OR c = ':c' -- :d\n/* :e */ \":f\" [:g] `:h` ?2");
    EXPECT_THAT(order, ElementsAre("b", "a"));
}

TEST(SqlText, ShellPatternsBecomeSqlPatterns) {
    EXPECT_EQ(sql_glob("ssh*"), "ssh*");
    EXPECT_EQ(sql_glob("[!a-c]x"), "[^a-c]x");
    EXPECT_EQ(sql_glob("a\\*b"), "a[*]b");
    EXPECT_EQ(sql_glob("a\\?\\[\\\\"), "a[?][[]\\");
    EXPECT_EQ(sql_glob("[abc"), "[[]abc");
    EXPECT_EQ(sql_glob("["), "[[]");
    EXPECT_EQ(sql_glob("a\\"), "a\\");
    EXPECT_EQ(sql_glob("[]]"), "[]]");
}

Script processes_named(const std::vector<std::string>& names) {
    Script script;
    std::int64_t pid = 1;
    for (const std::string& name : names) script.processes.push_back(process(pid++, 0, name));
    return script;
}

TEST(Views, PatternsMeanWhatTheyMeanToAShell) {
    Script script = processes_named({"ssh", "sshd", "a*b", "axb", "[abc", "bx", "dx", "kworker/3:1", "]", "a\\"});
    const auto matching = [&](const char* pattern) {
        return run(script, {"ps", "qemu:web1", "--name", pattern, "--columns", "name", "-f", "csv", "--no-header"}).out;
    };
    EXPECT_EQ(matching("ssh*"), "ssh\nsshd\n");
    EXPECT_EQ(matching("ssh?"), "sshd\n");
    EXPECT_EQ(matching("a\\*b"), "a*b\n");
    EXPECT_EQ(matching("[abc"), "[abc\n");
    EXPECT_EQ(matching("[!a-c]x"), "dx\n");
    EXPECT_EQ(matching("k*/[0-9]:?"), "kworker/3:1\n");
    EXPECT_EQ(matching("[]]"), "]\n");
    EXPECT_EQ(matching("a\\"), "a\\\n");
    EXPECT_EQ(matching("' OR 1 --"), "") << "a value is never SQL";
}

// The folder of the user's views, in the environment of this process.
class OwnFolder : public ::testing::Test {
protected:
    void SetUp() override {
        std::string pattern = (std::filesystem::temp_directory_path() / "vitrine-views-XXXXXX").string();
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        config_ = pattern;
        std::filesystem::create_directories(folder());
        setenv("XDG_CONFIG_HOME", config_.c_str(), 1);
        script_ = processes_named({"init", "sshd", "cron"});
    }
    void TearDown() override {
        unsetenv("XDG_CONFIG_HOME");
        std::filesystem::remove_all(config_);
    }
    [[nodiscard]] std::string folder() const { return config_ + "/vitrine/views"; }
    void write(const std::string& name, const std::string& text) const { std::ofstream(folder() + '/' + name) << text; }

    std::string config_;
    Script script_;
};

TEST_F(OwnFolder, AFileIsACommand) {
    write("daemons.sql",
          "-- @summary Daemons by name\n-- @option --above number N: only pids above N\n-- @where pid > :above\n"
          "-- @option --tag text WORD: a word for each row\n"
          "SELECT pid, upper(name) AS loud, :tag AS tag FROM processes WHERE name <> 'init'\n");
    EXPECT_EQ(run(script_, {"daemons", "qemu:web1", "-f", "csv"}).out, "pid,loud,tag\n2,SSHD,\n3,CRON,\n");
    EXPECT_EQ(run(script_, {"daemons", "qemu:web1", "--above", "2", "--tag", "x", "-f", "csv", "--no-header"}).out,
              "3,CRON,x\n");
    EXPECT_EQ(
        run(script_, {"daemons", "qemu:web1", "--sort", "pid:desc", "--columns", "loud", "-f", "csv", "--no-header"})
            .out,
        "CRON\nSSHD\n");
    const Ran wrong = run(script_, {"daemons", "nowhere", "--columns", "lout"});
    EXPECT_EQ(wrong.code, 2);
    EXPECT_THAT(wrong.err, HasSubstr("vitrine daemons has no column 'lout'\n  hint: did you mean loud?"));
    EXPECT_THAT(run(script_, {"--help"}).out, HasSubstr("Your own views:\n  daemons  Daemons by name\n"));
    EXPECT_THAT(run(script_, {"daemons", "--help"}).out, HasSubstr("only pids above N"));
    EXPECT_EQ(run(script_, {"help", "daemons"}).out, run(script_, {"daemons", "--help"}).out);
    const auto listed = nlohmann::json::parse(run(script_, {"views", "-f", "json"}).out);
    EXPECT_EQ(listed.back()["name"], "daemons");
    EXPECT_EQ(listed.back()["file"], folder() + "/daemons.sql");
    EXPECT_EQ(run(script_, {"views", "--own", "-f", "csv", "--no-header"}).out,
              fmt::format("daemons,own,Daemons by name,{}/daemons.sql\n", folder()));
    EXPECT_THAT(run(script_, {"daemon", "x"}).err, HasSubstr("did you mean vitrine daemons?"));
    EXPECT_THAT(commands_markdown(), Not(HasSubstr("daemons"))) << "the manual is the program's";
}

TEST_F(OwnFolder, AMalformedOneBreaksNothingElse) {
    write("bad.sql", "-- @summary s\n-- @sumary t\nSELECT 1\n");
    const std::string place = folder() + "/bad.sql:2";
    const Ran ran = run(script_, {"bad", "qemu:web1"});
    EXPECT_EQ(ran.code, 2);
    EXPECT_EQ(ran.out, "");
    EXPECT_THAT(ran.err, HasSubstr("vitrine: " + place + ": there is no @sumary\n"));
    const Ran other = run(script_, {"ps", "qemu:web1"});
    EXPECT_EQ(other.code, 0);
    EXPECT_EQ(other.err, "");
    EXPECT_THAT(run(script_, {"--help"}).out, HasSubstr(place));
    const Ran listed = run(script_, {"views", "--own"});
    EXPECT_EQ(listed.code, 2);
    EXPECT_THAT(listed.err, HasSubstr(place));
}

TEST_F(OwnFolder, ABuiltInCommandIsNotReplaced) {
    write("ps.sql", "-- @summary mine\nSELECT 1 AS one\n");
    write("doctor.sql", "-- @summary mine\nSELECT 1 AS one\n");
    const Ran ran = run(script_, {"ps", "qemu:web1"});
    EXPECT_EQ(ran.code, 0);
    EXPECT_THAT(ran.out, HasSubstr("sshd"));
    EXPECT_THAT(ran.err, HasSubstr("note: " + folder() + "/ps.sql is not used: ps is a command of vitrine"));
    EXPECT_THAT(run(script_, {"doctor"}).err, HasSubstr("doctor.sql is not used"));
    EXPECT_EQ(run(script_, {"modules", "qemu:web1"}).err, "");
}

TEST_F(OwnFolder, WhatIsNoFileIsNotRead) {
    mkfifo((folder() + "/pipe.sql").c_str(), 0600);
    std::filesystem::create_directory(folder() + "/folder.sql");
    std::filesystem::create_symlink("/nowhere", folder() + "/gone.sql");
    write(".hidden.sql", "SELECT");
    write("notes.txt", "SELECT");
    for (const char* name : {"pipe", "folder", "gone"}) {
        const Ran ran = run(script_, {name, "qemu:web1"});
        EXPECT_EQ(ran.code, 2) << name;
        EXPECT_THAT(ran.err, HasSubstr("cannot be read")) << name;
    }
    EXPECT_EQ(run(script_, {"ps", "qemu:web1"}).code, 0);
    EXPECT_EQ(OwnViews::load(folder()).unused().size(), 3u);
}

TEST_F(OwnFolder, SqlThatIsWrongNamesTheFile) {
    write("typo.sql", "-- @summary s\nSELECT pdi FROM processes\n");
    const Ran ran = run(script_, {"typo", "qemu:web1"});
    EXPECT_EQ(ran.code, 2);
    EXPECT_THAT(ran.err, HasSubstr(folder() + "/typo.sql: "));
    EXPECT_THAT(ran.err, HasSubstr("pdi"));
}

TEST(OwnViews, FolderOfTheEnvironment) {
    setenv("XDG_CONFIG_HOME", "/c", 1);
    EXPECT_EQ(OwnViews::default_folder(), "/c/vitrine/views");
    setenv("XDG_CONFIG_HOME", "relative", 1);
    const std::string home = std::getenv("HOME") == nullptr ? "" : std::getenv("HOME");
    setenv("HOME", "/h", 1);
    EXPECT_EQ(OwnViews::default_folder(), "/h/.config/vitrine/views");
    unsetenv("HOME");
    EXPECT_EQ(OwnViews::default_folder(), "");
    if (!home.empty()) setenv("HOME", home.c_str(), 1);
    unsetenv("XDG_CONFIG_HOME");
    EXPECT_TRUE(OwnViews::load("").views().empty());
}

}  // namespace
}  // namespace vitrine::cli::test
