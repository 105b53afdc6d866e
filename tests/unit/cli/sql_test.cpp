// vitrine sql: what is asked, what is written, what is said, and the exit code.
#include <gmock/gmock.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "app/interrupt.h"
#include "fake_engine.h"
#include "sql/error_hint.h"
#include "sql/guest_group.h"
#include "sql/tokens.h"

namespace vitrine::cli::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const std::vector<ResultColumn> kOneColumn{{"n", ColumnType::integer, Unit::none, ""}};

std::vector<std::string> sql(std::vector<std::string> more) {
    more.insert(more.begin(), {"sql", "qemu:web1"});
    return more;
}

// Some rows, then this error.
Script failing(Error error, std::size_t rows = 2) {
    Script script;
    script.on_query = [error, rows](std::string_view, ResultSink& sink) -> Result<QueryReport> {
        const std::vector<std::vector<Value>> some(rows, {std::int64_t{7}});
        static_cast<void>(answer(sink, kOneColumn, some));
        return error;
    };
    return script;
}

TEST(Sql, TheLastWordIsTheStatementAndAllOthersAreTargets) {
    Script script;
    EXPECT_EQ(run(script, {"sql", "qemu:web1", "qemu:web2", "SELECT 1"}).code, 0);
    EXPECT_THAT(script.vms, ElementsAre("qemu:web1", "qemu:web2"));
    EXPECT_THAT(script.statements, ElementsAre("SELECT 1"));
    EXPECT_EQ(run(script, {"sql", "qemu:web1", "--strict", "SELECT 2", "--format", "json"}).code, 0);
    EXPECT_EQ(script.statements.back(), "SELECT 2");
    EXPECT_EQ(run(script, {"sql", "--", "qemu:web1", "-- a comment\nSELECT 3"}).code, 0);
    EXPECT_EQ(script.statements.back(), "-- a comment\nSELECT 3");
    EXPECT_EQ(run(script, sql({"[a,b]"})).code, 0);
    EXPECT_EQ(script.statements.back(), "[a,b]") << "no list to take apart";
    const Ran twice = run(script, {"sql", "qemu:web1", "qemu:web1", "SELECT 1"});
    EXPECT_EQ(twice.code, 2);
    EXPECT_THAT(twice.err, HasSubstr("given twice"));
    EXPECT_EQ(run(script, {"sql"}).code, 2);
    EXPECT_EQ(run(script, {"sql", "qemu:other", "SELECT 1"}).code, 3);
}

TEST(Sql, StatementsOfStandardInput) {
    for (const std::vector<std::string>& words : {sql({}), sql({"-"})}) {
        Script script;
        EXPECT_EQ(run(script, words, "SELECT ';'; -- x;\nSELECT 2;\n;\nSELECT 3").code, 0);
        EXPECT_THAT(script.statements, ElementsAre("SELECT ';';", " -- x;\nSELECT 2;", "\nSELECT 3"));
        for (const char* nothing : {"", " ;\n", "-- nothing\n", "/* no end"}) {
            EXPECT_EQ(run(script, words, nothing).code, 2) << nothing;
        }
    }
}

TEST(Sql, Limits) {
    Script script;
    EXPECT_EQ(run(script, sql({"SELECT 1"})).code, 0);
    EXPECT_EQ(script.limits.time, QueryLimits().time);
    EXPECT_EQ(script.limits.rows, QueryLimits().rows);
    EXPECT_EQ(script.limits.memory, QueryLimits().memory);
    EXPECT_EQ(run(script, sql({"SELECT 1", "--timeout", "5", "--max-rows", "7", "--max-memory", "64"})).code, 0);
    EXPECT_EQ(script.limits.time, std::chrono::seconds(5));
    EXPECT_EQ(script.limits.rows, 7u);
    EXPECT_EQ(script.limits.memory, std::uint64_t{64} << 20);
    EXPECT_EQ(run(script, sql({"SELECT 1", "--max-memory", "18446744073709551615"})).code, 0);
    EXPECT_EQ(script.limits.memory, std::uint64_t{1} << 60) << "too large is not small";
    EXPECT_EQ(run(script, sql({"SELECT 1", "--timeout", "0"})).code, 2);
}

TEST(Sql, AddressesAreTextsAndOtherNumbersNumbers) {
    Script script;
    EXPECT_EQ(run(script, sql({"SELECT 1", "-f", "json"})).out,
              "[\n  {\"pid\": 1, \"name\": \"init\", \"task\": \"0xffff888000000001\"}\n]\n");
    EXPECT_EQ(run(script, sql({"SELECT 1", "-f", "csv"})).out, "pid,name,task\n1,init,0xffff888000000001\n");
    // SQLite itself has but signed integers.
    script.on_query = [](std::string_view, ResultSink& sink) {
        const std::vector<ResultColumn> columns{{"task", ColumnType::address, Unit::none, "processes"},
                                                {"n", ColumnType::integer, Unit::none, ""}};
        return answer(sink, columns, {{std::int64_t{-1}, std::int64_t{-1}}, {Value(), Value()}});
    };
    EXPECT_EQ(run(script, sql({"SELECT 1", "-f", "ndjson"})).out,
              "{\"task\": \"0xffffffffffffffff\", \"n\": -1}\n{\"task\": null, \"n\": null}\n");
}

TEST(Sql, NamesAreUniqueInJsonAndHarmlessInTables) {
    Script script;
    script.on_query = [](std::string_view, ResultSink& sink) {
        std::vector<ResultColumn> columns(4);
        columns[0].name = columns[1].name = "a";
        columns[2].name = "a:1";
        columns[3].name = "'\x1b[2J'";
        return answer(sink, columns, {{std::string("1"), std::string("2"), std::string("3"), std::string("\x1b[2J")}});
    };
    const auto rows = nlohmann::json::parse(run(script, sql({"SELECT 1", "-f", "json"})).out);
    EXPECT_EQ(rows[0].size(), 4u);
    EXPECT_EQ(rows[0]["a"], "1");
    EXPECT_EQ(rows[0]["a:1"], "2");
    EXPECT_THAT(run(script, sql({"SELECT 1"})).out, Not(HasSubstr("\x1b")));
    EXPECT_THAT(run(script, sql({"SELECT 1", "-f", "csv"})).out, Not(HasSubstr("\x1b")));
}

TEST(Sql, EveryErrorHasItsExitCode) {
    const auto code = [](Errc errc, Origin origin) {
        Script script = failing(Error::with_text(errc, origin, "why"));
        const Ran ran = run(script, sql({"SELECT 1", "-f", "json"}));
        EXPECT_FALSE(nlohmann::json::accept(ran.out)) << "what broke off must not look whole";
        EXPECT_THAT(ran.err, StartsWith("vitrine: why"));
        return ran.code;
    };
    EXPECT_EQ(code(Errc::usage, Origin::user), 2);
    EXPECT_EQ(code(Errc::stale, Origin::source), 3);
    EXPECT_EQ(code(Errc::io, Origin::source), 3);
    EXPECT_EQ(code(Errc::unsupported, Origin::table), 4);
    EXPECT_EQ(code(Errc::limit, Origin::user), 5);
    EXPECT_EQ(code(Errc::limit, Origin::source), 5);
    EXPECT_EQ(code(Errc::fault, Origin::table), 5);
    EXPECT_EQ(code(Errc::cancelled, Origin::user), 130);
}

TEST(Sql, PeopleSeeWhatThereWasBeforeAFailure) {
    Script script = failing(Error::with_text(Errc::limit, Origin::user, "too long"));
    EXPECT_THAT(run(script, sql({"SELECT 1"})).out, HasSubstr("7"));
    script = failing(Error::with_text(Errc::limit, Origin::user, "too long"), 0);
    EXPECT_EQ(run(script, sql({"SELECT 1"})).out, "");
}

TEST(Sql, TheFirstFailureEndsTheRun) {
    Script script;
    script.on_query = [](std::string_view text, ResultSink& sink) -> Result<QueryReport> {
        if (text == "bad;") return Error::with_text(Errc::usage, Origin::user, "SQL: near \"bad\": syntax error");
        return answer(sink, kOneColumn, {{std::int64_t{7}}});
    };
    const Ran ran = run(script, sql({"SELECT 1;bad;SELECT 3", "-f", "csv", "--no-header"}));
    EXPECT_EQ(ran.code, 2);
    EXPECT_EQ(ran.out, "7\n");
    EXPECT_THAT(script.statements, ElementsAre("SELECT 1;", "bad;"));
}

TEST(Sql, SaysWhatIsNotComplete) {
    Script script;
    script.on_query = [&](std::string_view, ResultSink& sink) {
        QueryReport report = answer(sink, kOneColumn, {{std::int64_t{7}}});
        report.readings[0].walk = {WalkEnd::inconsistent, 1, 3, 0xffff888000001000};
        report.diagnostics = {{Severity::warning, "processes", "no \x1b[2J name", 0, "web1"}};
        report.diagnostic_count = 9;
        return report;
    };
    const Ran ran = run(script, sql({"SELECT 1"}));
    EXPECT_EQ(ran.code, 0);
    EXPECT_THAT(ran.err, HasSubstr("note: processes: no \\x1b[2J name\nnote: 8 more"));
    EXPECT_THAT(ran.err, HasSubstr("3 retries, 1 rows, at 0xffff888000001000\n"));
    EXPECT_EQ(run(script, sql({"SELECT 1", "--strict"})).code, 5);
    EXPECT_THAT(run(script, {"sql", "qemu:web1", "qemu:web2", "SELECT 1"}).err, HasSubstr("note: web1: processes: no"));
    EXPECT_THAT(
        run(script, sql({"SELECT 1", "-v"})).err,
        HasSubstr("1 row in 3.21 ms; may be incomplete; mapped, running guest; 3 retries; 2024-01-01 00:00:00 UTC\n"));
}

TEST(Sql, AWholeAnswerIsQuietUnlessAsked) {
    Script script;
    EXPECT_EQ(run(script, sql({"SELECT 1", "--strict"})).err, "");
    EXPECT_EQ(run(script, sql({"SELECT 1", "-v"})).err,
              "1 row in 3.21 ms; complete; mapped, running guest; 2024-01-01 00:00:00 UTC\n");
    EXPECT_THAT(run(script, sql({"SELECT 1", "--timing"})).err,
                HasSubstr("timing: processes 2.50 ms, 1 row, read 1 time\n"));
}

TEST(Sql, PausesAllGuestsForTheStatement) {
    Script script;
    const Ran ran = run(script, {"sql", "qemu:web1", "qemu:web2", "--paused", "SELECT 1"});
    EXPECT_EQ(ran.code, 0);
    EXPECT_EQ(script.pauses, 2);
    EXPECT_EQ(script.resumes, 2);
    EXPECT_TRUE(script.statement_while_paused);
    EXPECT_TRUE(script.told_paused);
    EXPECT_THAT(ran.err, HasSubstr("note: the guests were paused for "));
    script = failing(Error::with_text(Errc::fault, Origin::table, "why"));
    EXPECT_EQ(run(script, sql({"--paused", "SELECT 1"})).code, 5);
    EXPECT_EQ(script.resumes, 1) << "continued after a failure too";
    script.can_pause = false;
    EXPECT_THAT(run(script, sql({"--paused", "SELECT 1"})).err, HasSubstr("cannot be paused"));
}

[[noreturn]] void interrupt_a_statement() {
    install_interrupt_handler();
    Script script;
    script.on_query = [&](std::string_view, ResultSink& sink) -> Result<QueryReport> {
        raise(SIGINT);
        static_cast<void>(answer(sink, kOneColumn, {{std::int64_t{7}}}));
        return Error::with_text(Errc::cancelled, Origin::user, "interrupted");
    };
    const Ran ran = run(script, sql({"SELECT 1;SELECT 2", "-f", "json"}));
    _exit(script.database_interrupts == 1 && script.statements.size() == 1 && ran.out.empty() ? ran.code : 1);
}

TEST(SqlDeathTest, CtrlCStopsTheStatementAndTheRun) {
    EXPECT_EXIT(interrupt_a_statement(), ::testing::ExitedWithCode(130), "");
}

TEST(SqlNames, AreShortAndUnique) {
    const auto names = [](const std::vector<Target>& targets) {
        std::vector<std::string> texts;
        for (std::size_t i = 0; i < targets.size(); ++i) texts.push_back("text" + std::to_string(i));
        return guest_names(targets, texts);
    };
    EXPECT_THAT(names({{TargetKind::qemu, "web1"}, {TargetKind::file, "/images/a.raw"}, {TargetKind::raw, "b.raw"}}),
                ElementsAre("web1", "a.raw", "b.raw"));
    EXPECT_THAT(names({{TargetKind::file, "/a/x"}, {TargetKind::file, "/b/x"}, {TargetKind::kvm, "12"}}),
                ElementsAre("text0", "text1", "12"));
    EXPECT_THAT(names({{TargetKind::qmp, "/run/q.sock"}, {TargetKind::file, "/ends/"}}),
                ElementsAre("q.sock", "/ends/"));
}

TEST(SqlTokens, StatementsAreTakenOneByOne) {
    std::string text = "SELECT 'a;''b' /* ; */ -- ;\n, \"c;d\" , [e;f];; SELECT 2; SELECT";
    EXPECT_EQ(take_statement(text), "SELECT 'a;''b' /* ; */ -- ;\n, \"c;d\" , [e;f];");
    EXPECT_EQ(take_statement(text), " SELECT 2;");
    EXPECT_EQ(take_statement(text), std::nullopt);
    EXPECT_EQ(text, " SELECT");
    for (std::string blank : {"", " ;;\n", "-- x\n", "/* y */;"}) {
        EXPECT_EQ(take_statement(blank), std::nullopt);
        EXPECT_EQ(blank, "");
    }
    std::string open = "/* more to come ;\n";
    EXPECT_EQ(take_statement(open), std::nullopt);
    EXPECT_EQ(open, "/* more to come ;\n");
    open += "*/ SELECT 1;";
    EXPECT_EQ(take_statement(open), "/* more to come ;\n*/ SELECT 1;");
}

TEST(SqlErrorHint, NamesWhatWasMeant) {
    Script script;
    const FakeEngine engine(script);
    const auto hint = [&](std::string_view message, std::string_view statement) {
        return sql_error_hint(message, statement, engine.tables());
    };
    EXPECT_EQ(hint("SQL: no such table: proceses", "SELECT * FROM proceses"), "did you mean processes?");
    EXPECT_EQ(hint("no such table: main.proceses", ""), "did you mean processes?");
    EXPECT_EQ(hint("no such table: zebra", ""), "");
    EXPECT_EQ(hint("no such column: p.nmae", "SELECT p.nmae FROM processes p"), "did you mean name?");
    EXPECT_EQ(hint("no such column: szie", "SELECT szie FROM kernel_modules"), "did you mean size?");
    EXPECT_EQ(hint("no such column: vmm", "SELECT vmm FROM processes"), "did you mean vm?");
    EXPECT_EQ(hint("no such function: addr_lte", "SELECT addr_lte(1,2)"), "did you mean addr_lt?");
    EXPECT_EQ(hint("no such function: cuont", "SELECT cuont(*)"), "did you mean count?");
    EXPECT_EQ(hint("near \"SELCT\": syntax error", "SELCT 1"), "did you mean SELECT?");
    EXPECT_EQ(hint("near \"processes\": syntax error", "SELECT * FORM processes"), "did you mean FROM?");
    EXPECT_EQ(hint("incomplete input", "SELECT"), "");
}

}  // namespace
}  // namespace vitrine::cli::test
