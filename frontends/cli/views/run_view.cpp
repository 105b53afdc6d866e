#include "views/run_view.h"

#include <fmt/format.h>

#include "commands/symbol_lookup.h"
#include "query/ask.h"
#include "sql/answer_sink.h"
#include "views/sql_scan.h"

namespace vitrine::cli {
namespace {

class CountSink final : public ResultSink {
public:
    void columns(std::span<const ResultColumn>) override {}
    bool row(std::span<const Value> values) override {
        if (const auto* number = std::get_if<std::int64_t>(&values[0])) count = static_cast<std::uint64_t>(*number);
        return true;
    }
    std::uint64_t count = 0;
};

// All rows that the view has when nothing is left out.
std::uint64_t count_all(Question& question, const View& view) {
    std::vector<std::string> order;
    CountSink counted;
    const std::string sql = fmt::format("SELECT count(*) FROM (\n{}\n)", number_parameters(view.sql, order));
    const std::vector<Value> nothing(order.size());
    return question.ask(sql, nothing, false, counted) ? counted.count : 0;
}

std::string tables_read(const QueryReport& report) {
    std::string names;
    for (const TableReading& reading : report.readings) names += (names.empty() ? "" : ", ") + reading.table;
    return names;
}

int fail(Session& session, const View& view, const Error& error) {
    if (error.code == Errc::limit) {
        session.messages().error(error.to_string(), "fewer --columns need less; vitrine sql can be given other limits");
        return kExitPartial;
    }
    if (view.file.empty() || error.code != Errc::usage) return session.fail(error, Phase::query);
    session.messages().error(fmt::format("{}: {}", view.file, error.to_string()), error.hint());
    return kExitUsage;
}

int run_query(Session& session, const View& view, const ViewQuery& query, Question& question, bool paused,
              bool strict) {
    AnswerSink sink(session.out(), session.style());
    auto answer = question.ask(query.sql, query.parameters, paused, sink);
    if (!answer) {
        sink.break_off();
        return fail(session, view, answer.error());
    }
    const bool nothing = answer->report.rows == 0 && answer->rows_read() == 0;
    if (const Error* failure = answer->failure(); nothing && failure != nullptr) return fail(session, view, *failure);
    Expectation expected{tables_read(answer->report), view.never_empty, query.has_conditions, answer->rows_read()};
    // A key that is looked up tells nothing of the others: are there any?
    if (nothing && query.has_conditions) expected.there = count_all(question, view);
    if (!fails_empty(*answer, expected)) sink.finish();
    session.out().flush();  // rows before what is said about them
    return conclude(session, *answer, expected, strict);
}

}  // namespace

int run_view(Session& session, const View& view, const Arguments& arguments) {
    if (view.needs_registers && !session.settings().use_registers) {
        return session.usage(
            fmt::format("vitrine {} reads registers: --no-registers leaves nothing to show", view.name));
    }
    for (const ViewOption& option : view.options) {
        if (option.answered_by_program && arguments.has(option.name)) return look_up_symbol(session, arguments);
    }
    const auto query = make_view_query(session, view, arguments);
    if (!query) return query.error();
    auto guest = session.attach(arguments.text("TARGET"));
    if (!guest) return guest.error();
    auto question = Question::open(session, arguments.text("TARGET"), **guest);
    if (!question) return question.error();
    return run_query(session, view, *query, *question, arguments.has("--paused"), arguments.has("--strict"));
}

}  // namespace vitrine::cli
