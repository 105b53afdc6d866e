// Guests that stand still while they are read.
//
//   std::optional<std::chrono::microseconds> stood;
//   auto report = query_paused(database, guests, output, stood, [&] { return database.query(...); });
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <vector>

#include "app/interrupt.h"
#include "render/output.h"
#include "vitrine/base/function_ref.h"
#include "vitrine/guest/guest.h"
#include "vitrine/query/database.h"

namespace vitrine::cli {

// What stops a machine; null for an image, which stands still. unsupported: a machine that runs has nothing like it.
Result<PauseControl*> find_pause_control(Machine& machine);

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

// Answers while all guests stand still; rows are written once they go on. `stood` stays empty if all are images.
Result<QueryReport> query_paused(Database& database, std::span<Guest* const> guests, Output& output,
                                 std::optional<std::chrono::microseconds>& stood,
                                 FunctionRef<Result<QueryReport>()> answer);

}  // namespace vitrine::cli
