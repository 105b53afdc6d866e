#include "query/pause.h"

namespace vitrine::cli {

using Clock = std::chrono::steady_clock;

Result<std::vector<PauseControl*>> pause_controls(std::span<Guest* const> guests) {
    std::vector<PauseControl*> controls;
    for (Guest* guest : guests) {
        PauseControl* control = guest->machine().pause_control();
        if (control == nullptr && guest->machine().is_live()) {
            return Error::with_text(Errc::unsupported, Origin::user, "this machine cannot be paused from here",
                                    "vitrine doctor TARGET says which routes are missing; leave out --paused");
        }
        if (control != nullptr) controls.push_back(control);
    }
    return controls;
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

}  // namespace vitrine::cli
