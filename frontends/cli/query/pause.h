// Guests that stand still while they are read.
//
//   PauseScope scope(VITRINE_TRY(pause_controls(guests)));
//   VITRINE_CHECK(scope.begin());  ...  const auto paused_for = VITRINE_TRY(scope.end());
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <vector>

#include "app/interrupt.h"
#include "render/output.h"
#include "vitrine/guest/guest.h"

namespace vitrine::cli {

// The switches of those guests that run; none for images, which stand still. unsupported: a running guest has none.
Result<std::vector<PauseControl*>> pause_controls(std::span<Guest* const> guests);

// Stops the vCPUs of all, and continues them at the end of the scope unless that was done before. Ctrl-C waits that long.
class PauseScope {
public:
    explicit PauseScope(std::vector<PauseControl*> controls) : controls_(std::move(controls)) {}
    PauseScope(const PauseScope&) = delete;
    PauseScope& operator=(const PauseScope&) = delete;
    ~PauseScope() { static_cast<void>(resume()); }

    Result<void> begin();
    Result<std::chrono::microseconds> end();  // how long the first of them stood

private:
    Result<void> resume();

    InterruptShield shield_;
    std::vector<PauseControl*> controls_;
    std::size_t paused_ = 0;  // that many, from the first
    std::chrono::steady_clock::time_point start_;
};

}  // namespace vitrine::cli
