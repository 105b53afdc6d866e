// The whole program over a made-up machine.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>

#include "app/app.h"
#include "fake_engine.h"
#include "query/glob.h"
#include "vitrine/base/text.h"

namespace vitrine::cli::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

Script two_processes() {
    Script script;
    script.processes = {process(812, 1, "sshd", std::string("sshd: /usr/sbin/sshd -D")),
                        process(1, 0, "systemd", std::string("/sbin/init")), process(2, 0, "kthreadd")};
    return script;
}

std::size_t count_lines(const std::string& text) {
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

TEST(Program, PsSortsAndBracketsKernelThreads) {
    Script script = two_processes();
    const Ran ran = run(script, {"ps", "qemu:web1"});
    EXPECT_EQ(ran.code, 0) << ran.err;
    EXPECT_EQ(ran.err, "");
    EXPECT_THAT(ran.out, HasSubstr("[kthreadd]"));
    EXPECT_LT(ran.out.find("systemd"), ran.out.find("sshd"));
    EXPECT_THAT(ran.out, Not(HasSubstr("task"))) << "tables show a choice of columns";
    EXPECT_EQ(script.used_columns.at(0) >> 8 & 1, 0u) << "columns that are not shown are not asked for";
}

TEST(Program, JsonHasEveryColumnInTheOrderOfTheSpec) {
    Script script = two_processes();
    const Ran ran = run(script, {"ps", "qemu:web1", "--format", "json"});
    const auto parsed = nlohmann::ordered_json::parse(ran.out);
    ASSERT_EQ(parsed.size(), 3u);
    std::vector<std::string> keys;
    for (const auto& [key, value] : parsed[0].items()) keys.push_back(key);
    EXPECT_THAT(keys, ::testing::ElementsAre("pid", "name", "cmdline", "state", "uid", "parent", "threads",
                                             "start_time", "task"));
    EXPECT_TRUE(parsed[1]["cmdline"].is_null()) << "no brackets outside tables";
}

TEST(Program, FiltersAndColumns) {
    Script script = two_processes();
    EXPECT_EQ(run(script, {"ps", "qemu:web1", "--name", "s*d", "--columns", "name,pid", "--format", "csv"}).out,
              "name,pid\nsystemd,1\nsshd,812\n");
    EXPECT_EQ(run(script, {"ps", "qemu:web1", "--pid", "2", "--columns", "pid", "--format", "csv", "--no-header"}).out,
              "2\n");
    EXPECT_EQ(
        run(script, {"ps", "qemu:web1", "--sort", "name:desc", "--columns", "name", "--format", "csv", "--no-header"})
            .out,
        "systemd\nsshd\nkthreadd\n");
    const Ran none = run(script, {"ps", "qemu:web1", "--pid", "77"});
    EXPECT_EQ(none.code, 0);
    EXPECT_THAT(none.err, HasSubstr("none of the 3 rows of processes is as asked for"));
    EXPECT_THAT(script.wanted_pids, ::testing::Contains(77)) << "an index is looked up";
    const Ran wrong = run(script, {"ps", "qemu:web1", "--columns", "nmae"});
    EXPECT_EQ(wrong.code, 2);
    EXPECT_THAT(wrong.err, HasSubstr("did you mean name?"));
    setenv("LC_ALL", "C.UTF-8", 1);
    EXPECT_THAT(run(script, {"ps", "qemu:web1", "--width", "30"}).out, HasSubstr("…"));
    setenv("LC_ALL", "C", 1);
    const std::string ascii = run(script, {"ps", "qemu:web1", "--width", "30"}).out;
    EXPECT_THAT(ascii, HasSubstr("~\n"));
    EXPECT_TRUE(std::all_of(ascii.begin(), ascii.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; }));
    unsetenv("LC_ALL");
    EXPECT_THAT(run(script, {"ps", "qemu:web1", "--width", "0"}).out, HasSubstr("sshd: /usr/sbin/sshd -D"));
    EXPECT_EQ(run(script, {"ps", "qemu:web1", "--sort", "nope"}).code, 2);
    EXPECT_EQ(run(script, {"ps", "qemu:web1", "--sort", "pid:up"}).code, 2);
}

TEST(Program, EmptyProcessListIsAFailure) {
    for (const char* format : {"table", "json", "csv"}) {
        Script script;
        const Ran ran = run(script, {"ps", "qemu:web1", "--format", format});
        EXPECT_EQ(ran.code, 5);
        EXPECT_EQ(ran.out, "");
        EXPECT_THAT(ran.err, HasSubstr("none found"));
        EXPECT_THAT(ran.err, HasSubstr("hint:"));
    }
    Script script;
    EXPECT_EQ(run(script, {"modules", "qemu:web1"}).code, 0) << "a guest may have no modules";
    EXPECT_EQ(run(script, {"pstree", "qemu:web1"}).code, 5);
}

TEST(Program, IncompleteAnswersSaySo) {
    Script script = two_processes();
    script.report.end = WalkEnd::inconsistent;
    script.report.retries = 2;
    script.report.last_address = 0xffff888000001000;
    const Ran ran = run(script, {"ps", "qemu:web1"});
    EXPECT_EQ(ran.code, 0);
    EXPECT_THAT(ran.err, HasSubstr("note: processes: "));
    EXPECT_THAT(ran.err, HasSubstr(" retries, 3 rows, at 0xffff888000001000"));
    EXPECT_EQ(count_lines(ran.err), 1u);
    EXPECT_EQ(run(script, {"ps", "qemu:web1", "--strict"}).code, 5);
    EXPECT_EQ(run(script, {"pstree", "qemu:web1", "--strict"}).code, 5);
}

TEST(Program, DiagnosticsAreCountedAndCleaned) {
    Script script = two_processes();
    for (int i = 0; i < 1000; ++i)
        script.diagnostics.push_back({Severity::warning, "processes", "cannot read \x1b[2Jname"});
    const Ran ran = run(script, {"ps", "qemu:web1"});
    EXPECT_EQ(ran.code, 0);
    EXPECT_EQ(count_lines(ran.err), 6u);
    EXPECT_THAT(ran.err, HasSubstr("995 more"));
    EXPECT_THAT(ran.err, Not(HasSubstr("\x1b")));
    EXPECT_EQ(run(script, {"ps", "qemu:web1", "--strict"}).code, 5);
    script.diagnostics = {{Severity::info, "processes", "just so"}};
    EXPECT_EQ(run(script, {"ps", "qemu:web1", "--strict"}).code, 0);
    EXPECT_EQ(run(script, {"ps", "qemu:web1"}).err, "");
    EXPECT_THAT(run(script, {"ps", "qemu:web1", "-v"}).err, HasSubstr("just so"));
}

// However much is said of single rows: what puts the whole answer in doubt is shown, and first.
TEST(Program, DoubtOfTheWholeAnswerStandsFirst) {
    Script script = two_processes();
    for (int i = 0; i < 300; ++i) script.diagnostics.push_back({Severity::warning, "processes", "cannot read a name"});
    script.diagnostics.push_back({Severity::error, "processes", "this kernel may run no more"});
    const Ran ran = run(script, {"ps", "qemu:web1"});
    EXPECT_LT(ran.err.find("this kernel may run no more"), ran.err.find("cannot read a name")) << ran.err;
}

TEST(Program, PausesOnlyWhileReading) {
    Script script = two_processes();
    const Ran ran = run(script, {"ps", "qemu:web1", "--paused"});
    EXPECT_EQ(ran.code, 0);
    EXPECT_EQ(script.pauses, 1);
    EXPECT_EQ(script.resumes, 1);
    EXPECT_TRUE(script.rows_while_paused);
    EXPECT_THAT(ran.err, HasSubstr("paused for"));
    script.run_error = [] { return Error::make(Errc::fault, Origin::table, "reading the task list"); };
    EXPECT_EQ(run(script, {"ps", "qemu:web1", "--paused"}).code, 5);
    EXPECT_EQ(script.pauses, 2);
    EXPECT_EQ(script.resumes, 2) << "continued after a failure too";
    script.can_pause = false;
    const Ran cannot = run(script, {"ps", "qemu:web1", "--paused"});
    EXPECT_NE(cannot.code, 0);
    EXPECT_THAT(cannot.err, HasSubstr("cannot be paused"));
}

TEST(Program, ErrorsAreOneLineAndAHint) {
    Script script;
    const Ran ran = run(script, {"ps", "no\x1b[2J\nfile"});
    EXPECT_EQ(ran.code, 3);
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(ran.err, "vitrine: there is no no\\x1b[2J\\nfile\n  hint: vitrine list\n");
    script.attach_error = [] {
        return Error::with_text(Errc::not_found, Origin::guest, "no kernel found", "tried all");
    };
    EXPECT_EQ(run(script, {"ps", "qemu:web1"}).code, 4);
    EXPECT_EQ(run(script, {"info", "qemu:web1"}).code, 4);
}

TEST(Program, BrokenAnswersDoNotLookWhole) {
    Script script = two_processes();
    script.run_error = [] { return Error::make(Errc::stale, Origin::source, "reading memory"); };
    const Ran json = run(script, {"table", "processes", "qemu:web1", "--format", "json"});
    EXPECT_EQ(json.code, 3);
    EXPECT_FALSE(nlohmann::json::accept(json.out));
    EXPECT_EQ(run(script, {"ps", "qemu:web1"}).out, "") << "rows count once the guest is known to be the same";
}

TEST(Program, TreeOfAHostileGuest) {
    Script script;
    script.processes = {process(1, 0, "init"),
                        process(10, 1, "sh\x1b[2J", std::string("sh -c x")),
                        process(11, 1, "cron", std::string("cron -f")),
                        process(12, 10, "leaf"),
                        process(50, 51, "a"),
                        process(51, 50, "b"),
                        process(60, 999, "lost")};
    const Ran ran = run(script, {"pstree", "qemu:web1", "--ascii"});
    EXPECT_EQ(ran.code, 0) << ran.err;
    EXPECT_EQ(ran.out,
              "[init](1)\n|-sh\\x1b[2J(10)\n| `-[leaf](12)\n`-cron(11)\n"
              "-- parents that are not in the list:\n[lost](60) parent 999\n"
              "-- parents that form a loop:\n[a](50) parent 51\n`-[b](51)\n");
    EXPECT_THAT(run(script, {"pstree", "qemu:web1", "--ascii", "--args"}).out, HasSubstr("`-cron -f(11)"));
    const auto parsed = nlohmann::json::parse(run(script, {"pstree", "qemu:web1", "--format", "json"}).out);
    EXPECT_EQ(parsed.size(), 7u);
    EXPECT_EQ(parsed[2]["depth"], 2);
    EXPECT_EQ(parsed[6]["place"], "loop");
}

TEST(Program, DeepTreeStaysSmall) {
    Script script;
    for (std::int64_t i = 1; i <= 5000; ++i) script.processes.push_back(process(i, i - 1, "p"));
    const Ran ran = run(script, {"pstree", "qemu:web1", "--ascii"});
    EXPECT_EQ(count_lines(ran.out), 5000u);
    EXPECT_LT(ran.out.size(), 5000u * 200);
    EXPECT_THAT(ran.out, HasSubstr("(level 4999) [p](5000)"));
}

TEST(Program, EndlessListsDoNotGrowMemory) {
    Script script;
    script.endless_rows = 4'000'000;  // more than may be kept
    const Ran ran = run(script, {"ps", "qemu:web1", "--format", "ndjson"});
    EXPECT_EQ(ran.code, 5);
    EXPECT_THAT(ran.err, HasSubstr("more than 512 MiB"));
    EXPECT_EQ(ran.out, "");
    script.endless_rows = 100'000;
    EXPECT_EQ(count_lines(run(script, {"ps", "qemu:web1", "--format", "ndjson"}).out), 100'000u);
}

TEST(Program, FullDiskIsAnError) {
    Script script = two_processes();
    script.endless_rows = 10'000;
    FakeEngine engine(script);
    TemporaryFile err;
    const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    const std::vector<std::string> words{"table", "processes", "qemu:web1", "--format", "ndjson"};
    EXPECT_EQ(run_program(words, engine, full, err.fd()), 74);
    close(full);
    EXPECT_THAT(err.text(), HasSubstr("cannot write the output: No space left on device"));
}

TEST(Program, SettingsReachTheLibrary) {
    Script script = two_processes();
    run(script,
        {"ps", "qemu:web1", "--no-registers", "--no-qmp", "--no-cache", "--cache-dir", "/c", "--symbols", "vm"});
    EXPECT_FALSE(script.attach_options.use_registers);
    EXPECT_FALSE(script.attach_options.use_cache);
    EXPECT_EQ(script.attach_options.cache_directory, "/c");
    EXPECT_EQ(script.attach_options.vmlinux, "vm");
    EXPECT_FALSE(script.open_options.use_qmp);
    EXPECT_FALSE(script.open_options.use_injection);
}

TEST(Program, TimingGoesToStandardError) {
    Script script = two_processes();
    const Ran ran = run(script, {"ps", "qemu:web1", "--timing"});
    EXPECT_THAT(ran.err, HasSubstr("timing: open "));
    EXPECT_THAT(ran.err, HasSubstr("find page tables 1.23 ms"));
    EXPECT_THAT(ran.err, HasSubstr("timing: processes "));
    EXPECT_THAT(ran.out, Not(HasSubstr("timing")));
}

TEST(Program, InfoForPeopleAndPrograms) {
    Script script;
    const Ran text = run(script, {"info", "qemu:web1"});
    EXPECT_EQ(text.code, 0) << text.err;
    EXPECT_THAT(text.out, HasSubstr("6.1.0-56-cloud-amd64"));
    EXPECT_THAT(text.out, HasSubstr("the banner lies where"));
    EXPECT_THAT(text.out, HasSubstr("find page tables: one root"));
    EXPECT_THAT(text.out, Not(HasSubstr("\x1b")));
    const auto array = nlohmann::json::parse(run(script, {"info", "qemu:web1", "-f", "json"}).out);
    ASSERT_EQ(array.size(), 1u);
    const auto& json = array[0];
    EXPECT_EQ(json["kernel"]["text_va"], "0xffffffff81000000");
    EXPECT_EQ(json["kernel"]["banner"], "Linux version 6.1.0\n\x1b]0;title\x07");
    EXPECT_EQ(json["machine"]["memory_bytes"], 64 << 20);
    EXPECT_EQ(json["steps"][0]["microseconds"], 1234);
    const Ran line = run(script, {"info", "qemu:web1", "-f", "ndjson"});
    EXPECT_EQ(count_lines(line.out), 1u);
    EXPECT_EQ(nlohmann::json::parse(line.out), json);
    const std::string csv = run(script, {"info", "qemu:web1", "-f", "csv"}).out;
    EXPECT_THAT(csv, StartsWith("item,value\nmachine.kind,QEMU\n"));
    for (const char* row : {"\nmachine.pid,\n", "\nmachine.extents.0.size,67108864\n", "\nkernel.from_cache,false\n",
                            "\nkernel.text_va,0xffffffff81000000\n", "\nsteps.0.microseconds,1234\n",
                            "\nkernel.checks.0,the banner lies where linux_banner points\n"})
        EXPECT_THAT(csv, HasSubstr(row));
    EXPECT_THAT(run(script, {"info", "qemu:web1", "-f", "csv", "--no-header"}).out, StartsWith("machine.kind,"));
}

// Every command, in every format for programs: an array of objects, as many as there are lines.
TEST(Program, JsonIsAnArrayOfObjectsWhateverIsAsked) {
    Script script = two_processes();
    script.modules = {{std::string("ext4"), std::int64_t{4096}, AddressValue{0xffffffffc0000000}}};
    script.machines.emplace_back().target = "qemu:web1";
    const std::vector<std::vector<std::string>> questions{{"list"},
                                                          {"info", "qemu:web1"},
                                                          {"ps", "qemu:web1"},
                                                          {"pstree", "qemu:web1"},
                                                          {"schema"},
                                                          {"schema", "processes"},
                                                          {"modules", "qemu:web1"},
                                                          {"symbols", "qemu:web1", "-a", "0xffffffff81000000"},
                                                          {"help"},
                                                          {"help", "ps"},
                                                          {"completion", "bash"},
                                                          {"table", "processes", "qemu:web1"},
                                                          {"sql", "qemu:web1", "SELECT 1"},
                                                          {"doctor"},
                                                          {"doctor", "qemu:web1"},
                                                          {"document", "man"}};
    for (std::vector<std::string> words : questions) {
        words.insert(words.end(), {"--format", "json"});
        const Ran json = run(script, words);
        const auto array = nlohmann::json::parse(json.out);
        ASSERT_TRUE(array.is_array() && !array.empty()) << words[0];
        for (const auto& row : array) EXPECT_TRUE(row.is_object()) << words[0];
        words.back() = "ndjson";
        EXPECT_EQ(count_lines(run(script, words).out), array.size()) << words[0];
        words.back() = "csv";
        const Ran csv = run(script, words);
        EXPECT_EQ(csv.code, json.code);
        EXPECT_GT(count_lines(csv.out), array.size()) << words[0];
    }
}

TEST(Program, TextsThatAreNoTablesFitTheWidth) {
    Script script;
    for (const char* width : {"30", "40", "80"}) {
        for (const std::vector<std::string>& question : std::vector<std::vector<std::string>>{
                 {"info", "qemu:web1"}, {"doctor", "qemu:web1"}, {"schema", "processes"}}) {
            std::vector<std::string> words = question;
            words.insert(words.end(), {"--width", width});
            const std::string text = run(script, words).out;
            std::istringstream lines(text);
            for (std::string line; std::getline(lines, line);)
                EXPECT_LE(display_width(line), std::stoul(width)) << question[0] << ": " << line;
        }
    }
    // Wrapped, not cut; and left alone where no width is known.
    EXPECT_THAT(run(script, {"info", "qemu:web1", "--width", "40"}).out, HasSubstr("linux_banner\n    points\n"));
    EXPECT_THAT(run(script, {"info", "qemu:web1"}).out, HasSubstr("the banner lies where linux_banner points\n"));
}

TEST(Program, SymbolAtAnAddress) {
    Script script;
    const Ran ran = run(script, {"symbols", "qemu:web1", "-a", "0xffffffff81001234", "-f", "json"});
    ASSERT_EQ(ran.code, 0) << ran.err;
    const auto json = nlohmann::json::parse(ran.out);
    EXPECT_EQ(json[0]["name"], "start\x1b[2J");
    EXPECT_EQ(json[0]["offset"], "0x234");
    EXPECT_THAT(run(script, {"symbols", "qemu:web1", "-a", "0xffffffff81001234"}).out, HasSubstr("start\\x1b[2J"));
    EXPECT_EQ(run(script, {"symbols", "qemu:web1", "-a", "0x10"}).code, 5);
    EXPECT_EQ(run(script, {"symbols", "qemu:web1", "-a", "0x10", "--name", "x"}).code, 2);
}

TEST(Program, MissingTypesAreUnknownNotEmpty) {
    Script script;
    const Ran ran = run(script, {"types", "qemu:web1", "task_struct"});
    EXPECT_EQ(ran.code, 5);
    EXPECT_EQ(ran.err, "vitrine: this kernel carries no BTF\n  hint: --symbols VMLINUX gives types\n");
    EXPECT_EQ(run(script, {"types", "qemu:web1", "--member", "x"}).code, 2);
    EXPECT_EQ(run(script, {"types", "qemu:web1", "task_struct", "--module", "ext4"}).code, 5);
}

TEST(Program, ListShowsMachines) {
    Script script;
    const Ran none = run(script, {"list"});
    EXPECT_EQ(none.code, 0);
    EXPECT_EQ(none.out, "");
    EXPECT_THAT(none.err, StartsWith("note: "));
    EXPECT_EQ(run(script, {"list", "-f", "json"}).out, "[]\n");
    MachineListing machine;
    machine.target = "qemu:web1";
    machine.name = "web1";
    machine.pid = 4711;
    machine.memory_bytes = std::uint64_t{512} << 20;
    machine.state = "no permission";
    machine.hint = "run as root";
    script.machines = {machine};
    const Ran one = run(script, {"list"});
    EXPECT_THAT(one.out, HasSubstr("512 MiB"));
    EXPECT_THAT(one.err, HasSubstr("run as root"));
    const auto json = nlohmann::json::parse(run(script, {"list", "-f", "json"}).out);
    EXPECT_EQ(json[0]["memory"], 512 << 20);
    EXPECT_TRUE(json[0]["vcpus"].is_null());
    EXPECT_EQ(run(script, {"list", "--columns", "pid,target", "-f", "csv", "--no-header"}).out, "4711,qemu:web1\n");
    EXPECT_EQ(run(script, {"list", "--columns", "nope"}).code, 2);
    // Columns that few machines have something in are not shown for nothing.
    EXPECT_THAT(one.out, testing::Not(testing::AnyOf(HasSubstr("libvirt_domain"), HasSubstr("qmp_targets"))));
    script.machines[0].libvirt_domain = "web-domain";
    script.machines[0].qmp_targets = {"qmp:/run/a", "qmp:/run/b"};
    EXPECT_THAT(run(script, {"list"}).out, testing::AllOf(HasSubstr("web-domain"), HasSubstr("qmp:/run/a qmp:/run/b")));
    script.machines[0].memory_bytes = 0;
    EXPECT_TRUE(nlohmann::json::parse(run(script, {"list", "-f", "json"}).out)[0]["memory"].is_null());
}

TEST(Program, Schema) {
    Script script;
    EXPECT_THAT(run(script, {"schema"}).out, HasSubstr("kernel_modules"));
    const Ran columns = run(script, {"schema", "processes"});
    EXPECT_THAT(columns.out, HasSubstr("seconds since the epoch"));
    EXPECT_THAT(columns.out, HasSubstr("Examples:"));
    EXPECT_EQ(nlohmann::json::parse(run(script, {"schema", "processes", "-f", "json"}).out)[0]["columns"][0]["name"],
              "pid");
    const Ran wrong = run(script, {"schema", "proceses"});
    EXPECT_EQ(wrong.code, 2);
    EXPECT_THAT(wrong.err, HasSubstr("did you mean processes?"));
    EXPECT_EQ(run(script, {"table", "nope", "qemu:web1"}).code, 2);
    EXPECT_EQ(run(script, {"table", "processes", "qemu:web1"}).code, 5) << "fake table is empty";
}

TEST(Program, DoctorOfAHostAndAGuest) {
    Script script;
    const Ran host = run(script, {"doctor", "-f", "json"});
    const auto checks = nlohmann::json::parse(host.out);
    EXPECT_GE(checks.size(), 6u);
    for (const auto& check : checks) {
        const std::string result = check["result"];
        EXPECT_TRUE(result == "ok" || result == "warn" || result == "fail");
        if (result == "fail") {
            EXPECT_FALSE(check["mend"].is_null());
        }
    }
    const Ran guest = run(script, {"doctor", "qemu:web1"});
    EXPECT_THAT(guest.out, HasSubstr("6.1.0-56-cloud-amd64"));
    EXPECT_THAT(guest.out, HasSubstr("this kernel carries no BTF"));
    EXPECT_THAT(guest.out, HasSubstr("mend: --symbols VMLINUX"));
    EXPECT_THAT(guest.out, Not(HasSubstr("\x1b")));
    const Ran missing = run(script, {"doctor", "qemu:nope"});
    EXPECT_EQ(missing.code, 3);
    EXPECT_THAT(missing.out, HasSubstr("fail  machine"));
}

TEST(Program, UsageIsTwoAndNothingOnStandardOutput) {
    Script script;
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{},
                                               {"pss"},
                                               {"ps"},
                                               {"ps", "x", "--nope"},
                                               {"ps", "x", "--format", "xml"},
                                               {"help", "nope"},
                                               {"ps", "qemu:"},
                                               {"doctor", "qemu:", "--format", "xml"},
                                               {"vcpus", "x", "--no-registers"}}) {
        const Ran ran = run(script, words);
        EXPECT_EQ(ran.code, 2);
        EXPECT_EQ(ran.out, "");
        EXPECT_THAT(ran.err, StartsWith("vitrine: "));
        EXPECT_LE(count_lines(ran.err), 2u);
    }
}

TEST(Program, VersionAndHelp) {
    Script script;
    EXPECT_THAT(run(script, {"--version"}).out, StartsWith("vitrine "));
    EXPECT_THAT(run(script, {"-h"}).out, HasSubstr("Commands:"));
    EXPECT_EQ(run(script, {"help", "ps"}).out, run(script, {"ps", "--help"}).out);
}

TEST(Glob, Patterns) {
    EXPECT_TRUE(glob_match("ssh*", "sshd"));
    EXPECT_TRUE(glob_match("*", ""));
    EXPECT_FALSE(glob_match("?", ""));
    EXPECT_TRUE(glob_match("k*/[0-9]:?", "kworker/3:1"));
    EXPECT_FALSE(glob_match("[!a-c]x", "bx"));
    EXPECT_TRUE(glob_match("[]]", "]"));
    EXPECT_TRUE(glob_match("a\\*b", "a*b"));
    EXPECT_FALSE(glob_match("a\\*b", "axb"));
    EXPECT_TRUE(glob_match("[abc", "[abc"));
    EXPECT_TRUE(glob_match("[", "["));
    EXPECT_TRUE(glob_match("a\\", "a\\"));
}

// A backtracking matcher would take longer than the universe has.
TEST(Glob, TimeIsBounded) { EXPECT_FALSE(glob_match("*a*a*a*a*a*a*a*a*a*a*a*a*b", std::string(20'000, 'a'))); }

}  // namespace
}  // namespace vitrine::cli::test
