#include "sources/guardian/pause_keeper.h"

#include <string.h>
#include <time.h>

namespace vitrine::guardian {

namespace {

// Commands wait for QEMU's big lock, which a busy device may hold for a while.
constexpr std::uint64_t kCommandMs = 5'000;
constexpr std::uint64_t kRetryMs = 20;
constexpr std::uint64_t kSettleMs = 5;

constexpr char kQueryStatus[] = "{\"execute\":\"query-status\"}\n";
constexpr char kQueryMigrate[] = "{\"execute\":\"query-migrate\"}\n";
// MigrationStatus in qapi/migration.json. Whatever is not known to be over is not over.
constexpr const char* kMigrationIsOver[] = {"\"none\"", "\"completed\"", "\"failed\"", "\"cancelled\""};
constexpr char kStop[] = "{\"execute\":\"stop\"}\n";
constexpr char kCont[] = "{\"execute\":\"cont\"}\n";

template <std::size_t N>
constexpr TextView view(const char (&text)[N]) {
    return TextView{text, N - 1};
}

void sleep_ms(std::uint64_t milliseconds) {
    const timespec pause{static_cast<time_t>(milliseconds / 1000), static_cast<long>(milliseconds % 1000) * 1'000'000};
    (void)nanosleep(&pause, nullptr);
}

}  // namespace

TracedThread* Freezer::find(pid_t tid) {
    for (std::uint32_t i = 0; i < count_; ++i) {
        if (threads_[i].tid() == tid && threads_[i].held()) return &threads_[i];
    }
    return nullptr;
}

Status Freezer::add(const ThreadList& list, Deadline deadline, std::int32_t* sys_errno) {
    const std::uint32_t wanted = list.count < kMaxThreads ? list.count : kMaxThreads;
    for (std::uint32_t i = 0; i < wanted; ++i) {
        if (find(list.threads[i]) != nullptr) continue;
        if (count_ == kMaxThreads) {
            thaw();
            return Status::too_big;
        }
        TracedThread& thread = threads_[count_];
        const Status status = thread.stop(list.threads[i], deadline, sys_errno);
        // One that was killed after it was seized ends for nobody else before we have taken note of it.
        if (status == Status::gone && !thread.unsettled()) continue;
        ++count_;
        if (status == Status::gone) continue;
        // A monitor that a job-control signal stopped stands still as well as one that we stopped.
        if (status == Status::ok || status == Status::stopped) continue;
        if (!thread.unsettled()) --count_;
        thaw();
        return status;
    }
    return Status::ok;
}

void Freezer::thaw() {
    for (std::uint32_t i = 0; i < count_; ++i) {
        if (threads_[i].held()) threads_[i].release();
    }
    // Those that had not stopped when the time was up: nothing was changed in them, they only have to be let go. In turns: the end of a
    // process's first thread shows only when the ends of all others have been taken note of (kernel/exit.c, delay_group_leader).
    for (bool left = true; left;) {
        left = false;
        for (std::uint32_t i = 0; i < count_; ++i) left |= !threads_[i].settle(Deadline::after_ms(kSettleMs));
    }
    count_ = 0;
}

void Freezer::note_ends() {
    // Last to first, and the first thread of the process once more: it ends after all others.
    for (std::uint32_t i = count_; i > 0; --i) threads_[i - 1].note_end();
    for (std::uint32_t i = 0; i < count_; ++i) threads_[i].note_end();
}

Status QmpPause::ensure_open(std::int32_t* sys_errno) {
    if (channel_.is_open()) return Status::ok;
    if (path_[0] == '\0') return Status::no_connection;
    return channel_.connect(path_, peer_, Deadline::after_ms(timeout_ms_), sys_errno);
}

Status QmpPause::check_not_migrating() {
    TextView reply;
    const Status status = channel_.execute(view(kQueryMigrate), Deadline::after_ms(kCommandMs), &reply);
    if (status == Status::refused) return Status::ok;  // a monitor that knows no migration
    if (status != Status::ok) return status;
    TextView result;
    TextView state;
    if (!json_member(reply, "return", &result)) return Status::malformed;
    if (!json_member(result, "status", &state)) return Status::ok;  // there was none so far
    for (const char* over : kMigrationIsOver) {
        if (state.equals(over)) return Status::ok;
    }
    return Status::migrating;
}

Status QmpPause::query_running(bool* running, bool* paused) {
    TextView reply;
    const Status status = channel_.execute(view(kQueryStatus), Deadline::after_ms(kCommandMs), &reply);
    if (status != Status::ok) return status;
    TextView result;
    TextView value;
    if (!json_member(reply, "return", &result) || !json_member(result, "running", &value)) return Status::malformed;
    *running = value.equals("true");
    *paused = json_member(result, "status", &value) && value.equals("\"paused\"");
    return Status::ok;
}

Status QmpPause::pause(bool* was_running, std::int32_t* sys_errno) {
    if (held_) return Status::already_held;
    Status status = ensure_open(sys_errno);
    bool running = false;
    bool paused = false;
    if (status == Status::ok) status = query_running(&running, &paused);
    if (status == Status::ok && running) status = check_not_migrating();
    if (status != Status::ok) {
        channel_.close();
        return status;
    }
    *was_running = running;
    held_ = true;
    if (!running) return Status::ok;
    stopped_by_us_ = true;  // from before the request on: it may have been carried out although no reply came
    TextView reply;
    status = channel_.execute(view(kStop), Deadline::after_ms(kCommandMs), &reply);
    if (status != Status::ok) (void)resume(Deadline::after_ms(kCommandMs));
    return status;
}

Status QmpPause::try_resume() {
    std::int32_t unused = 0;
    Status status = ensure_open(&unused);
    if (status != Status::ok) return status;
    bool running = false;
    bool paused = false;
    status = query_running(&running, &paused);
    // Neither running nor merely paused: it has shut down, failed or migrated since. That is not ours to undo.
    if (status != Status::ok || running || !paused) return status;
    TextView reply;
    return channel_.execute(view(kCont), Deadline::after_ms(kCommandMs), &reply);
}

Status QmpPause::resume(Deadline deadline) {
    if (!held_) return Status::not_held;
    Status status = Status::ok;
    while (stopped_by_us_) {
        status = try_resume();
        if (status == Status::ok || status == Status::refused || deadline.passed()) break;
        sleep_ms(kRetryMs);
    }
    channel_.close();
    // Still ours when it did not work: the end of the owner tries again.
    if (status == Status::ok || status == Status::refused) held_ = stopped_by_us_ = false;
    return status;
}

}  // namespace vitrine::guardian
