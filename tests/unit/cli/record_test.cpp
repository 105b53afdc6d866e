// vitrine record: what is asked, what is refused, and that a guest goes on whatever happens.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "fake_engine.h"

namespace vitrine::cli::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class Record : public ::testing::Test {
protected:
    Record() {
        std::string name = (fs::temp_directory_path() / "vitrine-test-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
        folder = name;
        script.processes = {process(1, 0, "init")};
    }
    ~Record() override {
        std::error_code ignored;
        fs::remove_all(folder, ignored);
    }
    Ran record(std::vector<std::string> more) {
        std::vector<std::string> words{"record", "qemu:web1", "-o", file()};
        words.insert(words.end(), more.begin(), more.end());
        return run(script, words);
    }
    [[nodiscard]] std::string file() const { return folder / "it"; }
    [[nodiscard]] std::size_t files() const {
        return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), {}));
    }
    fs::path folder;
    Script script;
};

TEST_F(Record, AsksEveryTableForAllColumnsWithoutTheCache) {
    const Ran ran = record({});
    EXPECT_EQ(ran.code, 0) << ran.err;
    EXPECT_EQ(ran.out, "");
    EXPECT_THAT(ran.err, HasSubstr(file()));
    EXPECT_EQ(script.statements, (std::vector<std::string>{"SELECT * FROM processes", "SELECT * FROM kernel_modules"}));
    EXPECT_FALSE(script.attach_options.use_cache);
    EXPECT_EQ(script.pauses, 0);
    const auto machine = open_machine({TargetKind::file, file()}, {});
    ASSERT_TRUE(machine) << machine.error().to_string();
    EXPECT_THAT((*machine)->info().notes.back(), HasSubstr("processes, kernel_modules"));
    EXPECT_EQ((*machine)->memory().total_size(), 64u << 20);
}

TEST_F(Record, AsksTheTablesThatAreNamed) {
    EXPECT_EQ(record({"kernel_modules"}).code, 0);
    EXPECT_EQ(script.statements, std::vector<std::string>{"SELECT * FROM kernel_modules"});
    const Ran wrong = record({"--force", "kernel_modules", "proceses"});
    EXPECT_EQ(wrong.code, 2);
    EXPECT_THAT(wrong.err, HasSubstr("did you mean processes?"));
    EXPECT_EQ(run(script, {"record", "qemu:web1"}).code, 2) << "no file named";
}

TEST_F(Record, AsksQuestionsInSql) {
    EXPECT_EQ(record({"SELECT pid FROM processes"}).code, 0);
    EXPECT_EQ(script.statements, std::vector<std::string>{"SELECT pid FROM processes"});
}

TEST_F(Record, ReplacesAFileOnlyIfTold) {
    std::ofstream(file()) << "precious";
    const Ran refused = record({});
    EXPECT_EQ(refused.code, 2);
    EXPECT_THAT(refused.err, HasSubstr("--force"));
    EXPECT_EQ(fs::file_size(file()), 8u);
    EXPECT_TRUE(script.statements.empty()) << "nothing is read for nothing";
    EXPECT_EQ(record({"--force"}).code, 0);
    EXPECT_GT(fs::file_size(file()), 8u);
}

TEST_F(Record, FailuresLeaveNoFile) {
    script.on_query = [](std::string_view, ResultSink&) -> Result<QueryReport> {
        return Error::make(Errc::stale, Origin::source, "reading the task list");
    };
    EXPECT_EQ(record({}).code, 3);
    script.on_query = [](std::string_view, ResultSink&) -> Result<QueryReport> {
        QueryReport report;
        report.readings.emplace_back().failure = Error::with_text(Errc::unsupported, Origin::source,
                                                                  "no such thing here");
        report.diagnostics.push_back({Severity::error, "processes", "no such thing here"});
        report.diagnostic_count = 1;
        return report;
    };
    EXPECT_NE(record({"processes"}).code, 0) << "asked for by name";
    EXPECT_EQ(files(), 0u);
    const Ran ran = record({});
    EXPECT_EQ(ran.code, 0) << "all tables: those that this machine has";
    EXPECT_THAT(ran.err, HasSubstr("no such thing here"));
}

TEST_F(Record, PausesForAllOfTheReadingAndGoesOnInAnyCase) {
    script.on_query = [&](std::string_view, ResultSink&) -> Result<QueryReport> {
        EXPECT_EQ(script.pauses, script.resumes + 1);
        return QueryReport();
    };
    const Ran ran = record({"--paused"});
    EXPECT_EQ(ran.code, 0) << ran.err;
    EXPECT_EQ(script.pauses, 1);
    EXPECT_EQ(script.resumes, 1);
    EXPECT_THAT(ran.err, HasSubstr("the guest was paused for"));
    script.on_query = [](std::string_view, ResultSink&) -> Result<QueryReport> {
        return Error::make(Errc::fault, Origin::table, "reading the task list");
    };
    EXPECT_NE(record({"--paused", "--force"}).code, 0);
    script.attach_error = [] { return Error::make(Errc::not_found, Origin::guest, "no kernel"); };
    EXPECT_EQ(record({"--paused", "--force"}).code, 4);
    EXPECT_EQ(script.pauses, 3);
    EXPECT_EQ(script.resumes, 3);
    script.can_pause = false;
    EXPECT_THAT(record({"--paused", "--force"}).err, HasSubstr("cannot be paused"));
}

TEST_F(Record, AnIncompleteAnswerIsSaid) {
    script.on_query = [](std::string_view, ResultSink&) -> Result<QueryReport> {
        QueryReport report;
        report.readings.emplace_back().walk.end = WalkEnd::inconsistent;
        return report;
    };
    const Ran ran = record({"processes"});
    EXPECT_EQ(ran.code, 0);
    EXPECT_THAT(ran.err, HasSubstr("processes: the recorded answer may be incomplete"));
}

}  // namespace
}  // namespace vitrine::cli::test
