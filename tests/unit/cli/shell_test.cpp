// vitrine shell without a terminal: scripts, dot-commands, and what becomes of guests that change. The terminal is tested live.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "fake_engine.h"
#include "shell/dot_commands.h"
#include "shell/history.h"
#include "shell/schema_text.h"

namespace vitrine::cli::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

Ran shell(Script& script, std::string_view input) { return run(script, {"shell", "qemu:web1"}, input); }

class Folder {
public:
    Folder() {
        if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp");
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() { std::filesystem::remove_all(path_); }
    [[nodiscard]] std::string file(const char* name) const { return path_ + "/" + name; }

private:
    std::string path_ = "/tmp/vitrine-shell-XXXXXX";
};

std::string content(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(Shell, RunsAScript) {
    Script script;
    const Ran ran = shell(script, ".mode csv\nSELECT\n 1; SELECT 2;\n\n-- the last\nSELECT 3");
    EXPECT_EQ(ran.code, 0) << ran.err;
    EXPECT_THAT(script.statements, ElementsAre("SELECT\n 1;", " SELECT 2;", "SELECT 3\n"))
        << "a comment alone is no statement";
    EXPECT_EQ(ran.out,
              "pid,name,task\n1,init,0xffff888000000001\npid,name,task\n1,init,0xffff888000000001\n"
              "pid,name,task\n1,init,0xffff888000000001\n");
    EXPECT_EQ(ran.err, "") << "no prompt, no greeting";
}

TEST(Shell, AScriptEndsAtTheFirstFailure) {
    Script script;
    script.on_query = [](std::string_view, ResultSink&) -> Result<QueryReport> {
        return Error::with_text(Errc::limit, Origin::user, "too long");
    };
    EXPECT_EQ(shell(script, "SELECT 1; SELECT 2;\nSELECT 3;\n").code, 5);
    EXPECT_EQ(script.statements.size(), 1u);
    const Ran unknown = shell(script, ".tabels\nSELECT 1;\n");
    EXPECT_EQ(unknown.code, 2);
    EXPECT_THAT(unknown.err, HasSubstr("did you mean .tables?"));
    EXPECT_EQ(script.statements.size(), 1u);
    script.on_query = [](std::string_view, ResultSink&) -> Result<QueryReport> {
        return Error::with_text(Errc::stale, Origin::source, "rebooted");
    };
    EXPECT_EQ(shell(script, "SELECT 1;\n").code, 3);
}

TEST(Shell, QuitEndsIt) {
    for (const char* word : {".quit", ".exit", ".quit  "}) {
        Script script;
        EXPECT_EQ(shell(script, std::string(word) + "\nSELECT 1;\n").code, 0);
        EXPECT_TRUE(script.statements.empty());
    }
}

TEST(Shell, Modes) {
    Script script;
    EXPECT_EQ(shell(script, ".mode json\nSELECT 1;").out,
              "[\n  {\"pid\": 1, \"name\": \"init\", \"task\": \"0xffff888000000001\"}\n]\n");
    EXPECT_EQ(shell(script, ".mode line\nSELECT 1;").out, " pid = 1\nname = init\ntask = 0xffff888000000001\n");
    EXPECT_EQ(shell(script, ".mode csv\n.headers off\nSELECT 1;").out, "1,init,0xffff888000000001\n");
    EXPECT_THAT(shell(script, ".timing on\nSELECT 1;").err, HasSubstr("timing: processes 2.50 ms"));
    EXPECT_THAT(shell(script, ".paused on\nSELECT 1;\n.paused off\nSELECT 2;").err, HasSubstr("the guest was paused"));
    EXPECT_EQ(script.pauses, 1);
    for (const char* wrong :
         {".mode xml", ".mode", ".headers maybe", ".paused", ".quit now", ".read", ".read /no/such"})
        EXPECT_EQ(shell(script, wrong).code, 2) << wrong;
}

TEST(Shell, TablesAndSchemas) {
    Script script;
    EXPECT_THAT(shell(script, ".tables").out, HasSubstr("kernel_modules"));
    const std::string some = shell(script, ".tables proc*").out;
    EXPECT_THAT(some, HasSubstr("processes"));
    EXPECT_THAT(some, Not(HasSubstr("kernel_modules")));
    EXPECT_EQ(shell(script, ".schema kernel_modules").out,
              "-- Modules of the guest.\nCREATE TABLE kernel_modules (\n    name TEXT,        -- name\n"
              "    size INTEGER,     -- bytes\n    address INTEGER,  -- address of its text (0x...)\n"
              "    vm TEXT HIDDEN    -- the guest, not part of SELECT *\n);\n");
    EXPECT_THAT(shell(script, ".schema").out, HasSubstr("CREATE TABLE processes"));
    const Ran wrong = shell(script, ".schema proceses");
    EXPECT_EQ(wrong.code, 2);
    EXPECT_THAT(wrong.err, HasSubstr("did you mean processes?"));
    const std::string help = shell(script, ".help").out;
    for (const DotCommand& command : dot_commands()) EXPECT_THAT(help, HasSubstr(std::string(command.name)));
}

TEST(Shell, DiagnosticsOfTheStatementBefore) {
    Script script;
    script.on_query = [](std::string_view, ResultSink& sink) {
        QueryReport report = answer(sink, {}, {});
        report.diagnostics = {{Severity::warning, "processes", "no \x1b[2J name", 0xffff888000000010, "web1"}};
        report.diagnostic_count = 1;
        return report;
    };
    const Ran ran = shell(script, "SELECT 1;\n.diagnostics\n");
    EXPECT_THAT(ran.out, HasSubstr("warning   web1  processes  0xffff888000000010  no \\x1b[2J name"));
    EXPECT_THAT(ran.out + ran.err, Not(HasSubstr("\x1b")));
}

TEST(Shell, FilesToReadAndToWrite) {
    const Folder folder;
    std::ofstream(folder.file("in")) << "SELECT 1;\n.output " << folder.file("out") << "\nSELECT 2;\n";
    std::ofstream(folder.file("loop")) << ".read " << folder.file("loop") << "\n";
    Script script;
    const Ran ran = shell(script,
                          ".mode csv\n.headers off\n.read " + folder.file("in") + "\n.output stdout\nSELECT 3;\n");
    EXPECT_EQ(ran.code, 0) << ran.err;
    EXPECT_EQ(script.statements.size(), 3u);
    EXPECT_EQ(ran.out, "1,init,0xffff888000000001\n1,init,0xffff888000000001\n");
    EXPECT_EQ(content(folder.file("out")), "1,init,0xffff888000000001\n");
    const Ran loop = shell(script, ".read " + folder.file("loop"));
    EXPECT_EQ(loop.code, 2);
    EXPECT_THAT(loop.err, HasSubstr("too many files"));
    const Ran full = shell(script, ".output /dev/full\nSELECT 1;\n");
    EXPECT_EQ(full.code, 74);
    EXPECT_THAT(full.err, HasSubstr("cannot write the file of .output"));
}

TEST(History, IsPrivate) {
    const Folder folder;
    setenv("XDG_STATE_HOME", folder.file("state").c_str(), 1);
    const std::string path = prepare_history_file();
    EXPECT_EQ(path, folder.file("state/vitrine/history"));
    struct stat status{};
    ASSERT_EQ(stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
    chmod(path.c_str(), 0644);
    EXPECT_EQ(prepare_history_file(), path);
    ASSERT_EQ(stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
    setenv("XDG_STATE_HOME", "relative", 1);
    setenv("HOME", folder.file("home").c_str(), 1);
    EXPECT_EQ(prepare_history_file(), folder.file("home/.local/state/vitrine/history"));
    unsetenv("XDG_STATE_HOME");
}

}  // namespace
}  // namespace vitrine::cli::test
