#include "query/pause.h"

namespace vitrine::cli {

using Clock = std::chrono::steady_clock;

Result<PauseControl*> find_pause_control(Machine& machine) {
    PauseControl* control = machine.pause_control();
    if (control == nullptr && machine.is_live()) {
        return Error::with_text(Errc::unsupported, Origin::user, "this machine cannot be paused from here",
                                "vitrine doctor TARGET says which routes are missing; leave out --paused");
    }
    return control;
}

Result<void> PauseScope::begin() {
    start_ = Clock::now();
    for (PauseControl* control : controls_) {
        VITRINE_CHECK(control->pause());
        ++paused_;
    }
    return {};
}

Result<std::chrono::microseconds> PauseScope::end() {
    VITRINE_CHECK(resume());
    return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start_);
}

// All of them, whatever happens to one.
Result<void> PauseScope::resume() {
    Result<void> result;
    for (; paused_ > 0; --paused_) {
        auto resumed = controls_[paused_ - 1]->resume();
        if (!resumed && result) result = resumed;
    }
    return result;
}

Result<QueryReport> query_paused(Database& database, std::span<Guest* const> guests, Output& output,
                                 std::optional<std::chrono::microseconds>& stood,
                                 FunctionRef<Result<QueryReport>()> answer) {
    std::vector<PauseControl*> controls;
    for (Guest* guest : guests) {
        if (auto* control = VITRINE_TRY(find_pause_control(guest->machine()))) controls.push_back(control);
    }
    if (controls.empty()) return answer();
    // Whoever reads the output may take his time, the guests have none.
    const OutputHold hold(output);
    PauseScope scope(std::move(controls));
    VITRINE_CHECK(scope.begin());
    for (const Guest* guest : guests) guest->new_generation();  // they ran on since they were attached to
    database.set_paused(true);
    auto report = answer();
    database.set_paused(false);
    stood = VITRINE_TRY(scope.end());
    return report;
}

}  // namespace vitrine::cli
