// Stops the guest's vCPUs, and continues them at the end of the scope unless that was done before.
#pragma once

#include <chrono>

#include "app/interrupt.h"
#include "vitrine/machine/machine.h"

namespace vitrine::cli {

class PauseScope {
public:
    explicit PauseScope(PauseControl& control) : control_(control) {}
    PauseScope(const PauseScope&) = delete;
    PauseScope& operator=(const PauseScope&) = delete;
    ~PauseScope() {
        if (paused_) static_cast<void>(control_.resume());
    }

    Result<void> begin() {
        start_ = Clock::now();
        VITRINE_CHECK(control_.pause());
        paused_ = true;
        return {};
    }
    Result<std::chrono::microseconds> end() {
        paused_ = false;
        VITRINE_CHECK(control_.resume());
        return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start_);
    }

private:
    using Clock = std::chrono::steady_clock;
    InterruptShield shield_;
    PauseControl& control_;
    Clock::time_point start_;
    bool paused_ = false;
};

}  // namespace vitrine::cli
