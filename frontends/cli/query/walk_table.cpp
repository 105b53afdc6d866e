#include <fmt/format.h>

#include <algorithm>

#include "app/interrupt.h"
#include "app/pause_scope.h"
#include "query/query.h"

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
    PauseControl* control = guest.machine().pause_control();
    if (control == nullptr && guest.machine().is_live()) {
        return Error::with_text(Errc::unsupported, Origin::user, "this machine cannot be paused from here",
                                "vitrine doctor TARGET says which routes are missing; leave out --paused");
    }
    if (control == nullptr) return session.engine().run(table, guest, context, sink);  // an image stands still
    // Whoever reads the output may take his time, the guest has none: rows are written once it goes on.
    const OutputHold hold(session.out());
    PauseScope scope(*control);
    VITRINE_CHECK(scope.begin());
    guest.new_generation();  // it ran on since it was attached to
    auto report = session.engine().run(table, guest, context, sink);
    outcome.paused_for = VITRINE_TRY(scope.end());
    return report;
}

void tell_diagnostics(Session& session, const Outcome& outcome) {
    constexpr std::size_t kShown = 5;
    std::size_t shown = 0;
    std::size_t skipped = 0;
    for (const Diagnostic& diagnostic : outcome.diagnostics) {
        if (diagnostic.severity == Severity::info && !session.settings().verbose) continue;
        if (shown == kShown && !session.settings().verbose) {
            ++skipped;
            continue;
        }
        session.messages().note(fmt::format("{}: {}", diagnostic.table, diagnostic.text));
        ++shown;
    }
    if (outcome.diagnostic_count > shown + skipped) skipped = outcome.diagnostic_count - shown;
    if (skipped > 0) session.messages().note(fmt::format("{} more of this kind (-v shows more)", skipped));
}

std::string walk_text(const Outcome& outcome) {
    std::string text(to_string(outcome.report.end));
    if (outcome.report.retries > 0) {
        text += fmt::format(", {} {}", outcome.report.retries, outcome.report.retries == 1 ? "retry" : "retries");
    }
    return text + fmt::format(", {} rows", outcome.rows);
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
    tell_diagnostics(session, outcome);
    const bool odd = outcome.report.end != WalkEnd::complete && outcome.report.end != WalkEnd::stopped;
    if (odd || (session.settings().verbose && outcome.report.retries > 0)) {
        std::string at;
        if (odd && outcome.report.last_address != 0) at = fmt::format(", at {:#x}", outcome.report.last_address);
        messages.note(fmt::format("{}: {}{}", table.spec.name, walk_text(outcome), at));
    }
    if (outcome.paused_for) messages.note(fmt::format("the guest was paused for {} µs", outcome.paused_for->count()));
    if (session.settings().timing) {
        messages.timing(fmt::format("{} {}, {} rows", table.spec.name, duration_text(outcome.took), outcome.rows));
    }
    if (never_empty(table.spec.name) && outcome.rows == 0 && outcome.report.end != WalkEnd::stopped) {
        messages.error(fmt::format("{}: none found, and every guest has some: {}", table.spec.name, walk_text(outcome)),
                       "vitrine doctor TARGET says what works; --no-cache learns the guest anew");
        return kExitPartial;
    }
    if (outcome.rows > 0 && outcome.shown == 0) {
        messages.note(fmt::format("none of the {} rows of {} is as asked for", outcome.rows, table.spec.name));
    }
    return strict && !outcome.complete() ? kExitPartial : kExitOk;
}

}  // namespace vitrine::cli
