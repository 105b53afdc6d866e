#include "sql/runner.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/interrupt.h"
#include "query/pause.h"
#include "query/telling.h"
#include "sql/answer_sink.h"
#include "sql/error_hint.h"
#include "sql/tokens.h"

namespace vitrine::cli {
namespace {

std::string rows_text(std::uint64_t rows) { return fmt::format("{} {}", rows, rows == 1 ? "row" : "rows"); }

std::int64_t seconds_of(std::chrono::system_clock::time_point when) {
    return std::chrono::duration_cast<std::chrono::seconds>(when.time_since_epoch()).count();
}

std::string table_name(const TableReading& reading, bool with_vm) {
    return with_vm ? fmt::format("{}: {}", reading.vm, reading.table) : reading.table;
}

}  // namespace

int SqlRunner::run(std::string_view statement, const SqlSettings& settings, Output& output, const Style& style) {
    paused_for_.reset();
    guests_changed_ = false;
    AnswerSink sink(output, style);
    auto report = ask(statement, settings, output, sink);
    if (!report || interrupted()) {
        sink.break_off();
        output.flush();
        const auto cancelled = [] { return Error::with_text(Errc::cancelled, Origin::user, "interrupted"); };
        return failed(report && interrupted() ? cancelled() : report.error(), statement);
    }
    sink.finish();
    output.flush();  // rows before what is said about them
    last_ = std::move(*report);
    tell(settings);
    return settings.strict && !last_.complete() ? kExitPartial : kExitOk;
}

int SqlRunner::run_all(std::string text, const SqlSettings& settings, Output& output, const Style& style) {
    int code = kExitOk;
    while (code == kExitOk && output.ok()) {
        auto statement = take_statement(text);
        if (!statement && is_blank_sql(text)) break;
        if (!statement) statement.emplace(std::exchange(text, {}));
        code = run(*statement, settings, output, style);
    }
    return code;
}

Result<QueryReport> SqlRunner::ask(std::string_view statement, const SqlSettings& settings, Output& output,
                                   ResultSink& sink) {
    Database* database = group_.database();
    if (database == nullptr) {
        return Error::with_text(Errc::stale, Origin::source, "none of the guests can be reached any more",
                                "vitrine list shows what runs now");
    }
    const InterruptAction stop([](void* context) { static_cast<Database*>(context)->interrupt(); }, database);
    const auto query = [&] { return database->query(statement, settings.limits, sink); };
    return settings.paused ? query_paused(*database, group_.guests(), output, paused_for_, query) : query();
}

int SqlRunner::failed(const Error& error, std::string_view statement) {
    last_ = {};
    guests_changed_ = error.code == Errc::stale;
    const std::string text = error.to_string();
    std::string hint;
    if (error.code == Errc::usage) hint = sql_error_hint(text, statement, session_.engine().tables());
    session_.messages().error(text, hint.empty() ? error.hint() : std::string_view(hint));
    return exit_code(error, Phase::sql);
}

std::string SqlRunner::closing_line() const {
    std::string text = fmt::format("{} in {}; {}", rows_text(last_.rows), duration_text(last_.took),
                                   last_.complete() ? "complete" : "may be incomplete");
    if (last_.readings.empty()) return text;
    const char* many = group_.size() > 1 ? "s" : "";
    text += "; " + last_.method;
    if (paused_for_) text += fmt::format(", paused guest{}", many);
    else if (group_.any_live()) text += fmt::format(", running guest{}", many);
    unsigned retries = 0;
    auto first = last_.readings.front().when;
    for (const TableReading& reading : last_.readings) {
        retries += reading.walk.retries;
        first = std::min(first, reading.when);
    }
    if (retries > 0) text += "; " + retries_text(retries);
    if (!last_.one_moment) text += "; tables read one after the other";
    return text + fmt::format("; {} UTC", time_text(seconds_of(first)));
}

void SqlRunner::tell(const SqlSettings& settings) const {
    Messages& messages = session_.messages();
    const bool with_vm = group_.size() > 1;
    tell_diagnostics(session_, last_.diagnostics, last_.diagnostic_count, with_vm);
    for (const TableReading& reading : last_.readings) {
        const std::string name = table_name(reading, with_vm);
        if (ended_oddly(reading.walk) && !reading.failure) {  // the failure is among the diagnostics
            messages.note(
                fmt::format("{}: {}{}", name, walk_text(reading.walk, reading.rows), place_text(reading.walk)));
        }
        if (settings.timing) {
            messages.timing(fmt::format("{} {}, {}, read {} {}", name, duration_text(reading.took),
                                        rows_text(reading.rows), reading.times, reading.times == 1 ? "time" : "times"));
        }
    }
    if (paused_for_) {
        messages.note(fmt::format("the guest{} paused for {} µs", group_.guests().size() > 1 ? "s were" : " was",
                                  paused_for_->count()));
    }
    if (settings.tell) messages.say(closing_line());
}

}  // namespace vitrine::cli
