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
    if (paused) return ask_paused(sql, parameters, sink);
    Answer answer;
    answer.report = VITRINE_TRY(database_->query(sql, parameters, QueryLimits{}, sink));
    return answer;
}

Result<Answer> Question::ask_paused(std::string_view sql, std::span<const Value> parameters, ResultSink& sink) {
    Guest* const guests[] = {guest_};
    auto controls = VITRINE_TRY(pause_controls(guests));
    if (controls.empty()) return ask(sql, parameters, false, sink);  // an image stands still
    // Whoever reads the output may take his time, the guest has none: rows are written once it goes on.
    const OutputHold hold(session_->out());
    PauseScope scope(std::move(controls));
    VITRINE_CHECK(scope.begin());
    const InterruptAction stop([](void* database) { static_cast<Database*>(database)->interrupt(); }, database_.get());
    guest_->new_generation();  // it ran on since it was attached to
    database_->set_paused(true);
    auto answer = ask(sql, parameters, false, sink);
    database_->set_paused(false);
    const auto stood = VITRINE_TRY(scope.end());
    if (answer) answer->paused_for = stood;
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
