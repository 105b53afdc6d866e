#include "query/ask.h"

#include <fmt/format.h>

#include "app/interrupt.h"
#include "query/pause.h"
#include "query/telling.h"

namespace vitrine::cli {

std::uint64_t Answer::rows_read() const {
    std::uint64_t rows = 0;
    for (const TableReading& reading : report.readings) rows += reading.rows;
    return rows;
}

const Error* Answer::failure() const {
    for (const TableReading& reading : report.readings) {
        if (reading.failure) return &*reading.failure;
    }
    return nullptr;
}

OrExit<Question> Question::open(Session& session, std::string_view target, Guest& guest) {
    auto database = Database::open({{std::string(target), guest}}, session.engine().tables());
    if (!database) return tl::make_unexpected(session.fail(database.error(), Phase::query));
    return Question(session, guest, std::move(*database));
}

Result<Answer> Question::ask(std::string_view sql, std::span<const Value> parameters, bool paused, ResultSink& sink) {
    const auto query = [&] { return database_->query(sql, parameters, QueryLimits{}, sink); };
    // Ctrl-C waits for the end of a pause: what it can do before that is to end the statement.
    const auto stoppable = [&] {
        const InterruptAction stop([](void* database) { static_cast<Database*>(database)->interrupt(); },
                                   database_.get());
        return query();
    };
    Guest* const guests[] = {guest_};
    Answer answer;
    answer.report = VITRINE_TRY(paused ? query_paused(*database_, guests, session_->out(), answer.paused_for, stoppable)
                                       : query());
    return answer;
}

bool fails_empty(const Answer& answer, const Expectation& expected) {
    return expected.never_empty && expected.there == 0 && answer.report.rows == 0 && !answer.report.stopped;
}

int conclude(Session& session, const Answer& answer, const Expectation& expected, bool strict) {
    Messages& messages = session.messages();
    const QueryReport& report = answer.report;
    tell_diagnostics(session, report.diagnostics, report.diagnostic_count, false);
    for (const TableReading& reading : report.readings) {
        if (!ended_oddly(reading.walk) && !(session.settings().verbose && reading.walk.retries > 0)) continue;
        messages.note(
            fmt::format("{}: {}{}", reading.table, walk_text(reading.walk, reading.rows), place_text(reading.walk)));
    }
    if (answer.paused_for) messages.note(fmt::format("the guest was paused for {} µs", answer.paused_for->count()));
    if (session.settings().timing) {
        for (const TableReading& reading : report.readings)
            messages.timing(fmt::format("{} {}, {} rows", reading.table, duration_text(reading.took), reading.rows));
        messages.timing(fmt::format("query {}, {} rows", duration_text(report.took), report.rows));
    }
    if (fails_empty(answer, expected)) {
        const WalkReport walk = report.readings.empty() ? WalkReport{} : report.readings[0].walk;
        messages.error(fmt::format("{}: none found, and every guest has some: {}", expected.what, walk_text(walk, 0)),
                       "vitrine doctor TARGET says what works; --no-cache learns the guest anew");
        return kExitPartial;
    }
    if (expected.there > 0 && report.rows == 0 && expected.chosen)
        messages.note(fmt::format("none of the {} rows of {} is as asked for", expected.there, expected.what));
    return strict && !report.complete() ? kExitPartial : kExitOk;
}

}  // namespace vitrine::cli
