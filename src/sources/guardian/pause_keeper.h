// What the guardian process holds still: a guest stopped by QMP, or the monitor's threads stopped by ptrace.
// Nothing here allocates (see guardian_process.h).
#pragma once

#include "sources/guardian/protocol.h"
#include "sources/guardian/qmp_channel.h"
#include "sources/guardian/tracing.h"

namespace vitrine::guardian {

// Stops whole threads and keeps them stopped.
class Freezer {
public:
    // `threads`: room for kMaxThreads.
    explicit Freezer(TracedThread* threads) : threads_(threads) {}

    // Adds the threads that are not stopped yet. A thread that has ended meanwhile is passed over. On an error everything
    // is let go.
    Status add(const ThreadList& list, Deadline deadline, std::int32_t* sys_errno);
    void thaw();
    // Takes note of the ends of threads that were killed while they were held.
    void note_ends();
    [[nodiscard]] bool holds_any() const { return count_ != 0; }
    [[nodiscard]] TracedThread* find(pid_t tid);

private:
    TracedThread* threads_;
    std::uint32_t count_ = 0;
};

// QMP stop, and cont if and only if the stop was ours.
class QmpPause {
public:
    // peer: the process that must listen on the socket; -1: any.
    QmpPause(QmpChannel& channel, const char* path, pid_t peer, unsigned timeout_ms)
        : channel_(channel), path_(path), peer_(peer), timeout_ms_(timeout_ms) {}

    Status pause(bool* was_running, std::int32_t* sys_errno);
    // Goes on trying for as long as `deadline` allows: the guest must not stay stopped because another client was quicker.
    Status resume(Deadline deadline);
    [[nodiscard]] bool holds() const { return held_; }
    [[nodiscard]] Status ensure_open(std::int32_t* sys_errno);
    // A guest that is stopped when its migration completes arrives stopped, and nobody there knows to continue it.
    [[nodiscard]] Status check_not_migrating();

private:
    Status query_running(bool* running, bool* paused);
    Status try_resume();

    QmpChannel& channel_;
    const char* path_;
    pid_t peer_;
    unsigned timeout_ms_;
    bool held_ = false;
    bool stopped_by_us_ = false;
};

}  // namespace vitrine::guardian
