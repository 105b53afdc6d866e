#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "app/interrupt.h"
#include "query/pause.h"
#include "query/query.h"
#include "query/telling.h"

namespace vitrine::cli {
namespace {

using Clock = std::chrono::steady_clock;

std::chrono::microseconds since(Clock::time_point start) {
    return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start);
}

class OutcomeSink final : public RowSink {
public:
    OutcomeSink(Outcome& outcome, FunctionRef<bool(std::span<const Value>)> row) : outcome_(outcome), row_(row) {}

    bool row(std::span<const Value> values) override {
        if (interrupted()) return false;
        ++outcome_.rows;
        return row_(values);
    }

    void diagnostic(Diagnostic diagnostic) override {
        if (diagnostic.severity != Severity::info) ++outcome_.diagnostic_count;
        // What is said of the whole answer stands first, and finds room.
        auto& kept = outcome_.diagnostics;
        if (diagnostic.severity == Severity::error) {
            if (kept.size() == Outcome::kMostDiagnostics) kept.pop_back();
            const std::size_t place = std::min(errors_++, kept.size());
            kept.insert(kept.begin() + static_cast<std::ptrdiff_t>(place), std::move(diagnostic));
        } else if (kept.size() < Outcome::kMostDiagnostics) {
            kept.push_back(std::move(diagnostic));
        }
    }

private:
    Outcome& outcome_;
    FunctionRef<bool(std::span<const Value>)> row_;
    std::size_t errors_ = 0;
};

Result<WalkReport> walk_paused(Session& session, Guest& guest, const Table& table, QueryContext& context,
                               OutcomeSink& sink, Outcome& outcome) {
    std::array<Guest*, 1> guests{&guest};
    auto controls = VITRINE_TRY(pause_controls(guests));
    if (controls.empty()) return session.engine().run(table, guest, context, sink);  // an image stands still
    // Whoever reads the output may take his time, the guest has none: rows are written once it goes on.
    const OutputHold hold(session.out());
    PauseScope scope(std::move(controls));
    VITRINE_CHECK(scope.begin());
    guest.new_generation();  // it ran on since it was attached to
    auto report = session.engine().run(table, guest, context, sink);
    outcome.paused_for = VITRINE_TRY(scope.end());
    return report;
}

}  // namespace

OrExit<Outcome> walk_table(Session& session, Guest& guest, const Table& table, std::uint64_t used_columns, bool paused,
                           FunctionRef<bool(std::span<const Value>)> row) {
    Outcome outcome;
    OutcomeSink sink(outcome, row);
    QueryContext context(used_columns);
    const auto started = Clock::now();
    auto report = paused ? walk_paused(session, guest, table, context, sink, outcome)
                         : session.engine().run(table, guest, context, sink);
    outcome.took = since(started);
    if (!report) return tl::make_unexpected(session.fail(report.error(), Phase::query));
    outcome.report = *report;
    return outcome;
}

int conclude(Session& session, const Table& table, const Outcome& outcome, bool strict) {
    Messages& messages = session.messages();
    tell_diagnostics(session, outcome.diagnostics, outcome.diagnostic_count, false);
    if (ended_oddly(outcome.report) || (session.settings().verbose && outcome.report.retries > 0)) {
        messages.note(fmt::format("{}: {}{}", table.spec.name, walk_text(outcome.report, outcome.rows),
                                  place_text(outcome.report)));
    }
    if (outcome.paused_for) messages.note(fmt::format("the guest was paused for {} µs", outcome.paused_for->count()));
    if (session.settings().timing) {
        messages.timing(fmt::format("{} {}, {} rows", table.spec.name, duration_text(outcome.took), outcome.rows));
    }
    if (never_empty(table.spec.name) && outcome.rows == 0 && outcome.report.end != WalkEnd::stopped) {
        messages.error(fmt::format("{}: none found, and every guest has some: {}", table.spec.name,
                                   walk_text(outcome.report, outcome.rows)),
                       "vitrine doctor TARGET says what works; --no-cache learns the guest anew");
        return kExitPartial;
    }
    if (outcome.rows > 0 && outcome.shown == 0) {
        messages.note(fmt::format("none of the {} rows of {} is as asked for", outcome.rows, table.spec.name));
    }
    return strict && !outcome.complete() ? kExitPartial : kExitOk;
}

}  // namespace vitrine::cli
