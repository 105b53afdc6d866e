// Stopping one thread of another process and running one system call in it, with ptrace.
//
// Used in the guardian process only: nothing here allocates, locks or throws. Signals that arrive for the thread while it
// is held are delivered when it is let go, job-control stops stay in force, a thread that ends is noticed.
#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include <cstddef>
#include <cstdint>

#include "sources/guardian/protocol.h"

namespace vitrine::guardian {

// A point in time (CLOCK_MONOTONIC) after which to give up.
class Deadline {
public:
    static Deadline after_ms(std::uint64_t milliseconds);
    static Deadline never() { return Deadline(~std::uint64_t{0}); }
    [[nodiscard]] bool passed() const;
    [[nodiscard]] std::uint64_t left_ns() const;

private:
    explicit Deadline(std::uint64_t at_ns) : at_ns_(at_ns) {}
    std::uint64_t at_ns_;
};

[[nodiscard]] std::uint64_t monotonic_ns();

class TracedThread {
public:
    TracedThread() = default;

    // Seizes and stops the thread. On any status but ok the thread is not held, or will be let go by settle().
    Status stop(pid_t tid, Deadline deadline, std::int32_t* sys_errno);
    // Lets it go, delivering a signal that it was stopped for.
    void release();
    // After a time-out: waits for the stop that was asked for, undoes what was begun and lets the thread go.
    // True when done; false when `deadline` passed first.
    bool settle(Deadline deadline);

    [[nodiscard]] bool held() const { return state_ == State::stopped; }
    [[nodiscard]] bool unsettled() const { return state_ == State::stopping || state_ == State::stepping; }
    // A signal waits to be delivered at release: nothing may be injected before that.
    [[nodiscard]] bool signal_pending() const { return pending_signal_ != 0; }
    [[nodiscard]] pid_t tid() const { return tid_; }

    bool get_registers(user_regs_struct* out) const;
    // Runs the `syscall` instruction that lies right before `home.rip` once, with these arguments, and puts `home` back.
    // Precondition: held, no pending signal, `home` are its registers. `result` is what the call returned.
    Status inject(const user_regs_struct& home, std::uint64_t number, const std::uint64_t (&arguments)[3],
                  Deadline deadline, std::int64_t* result);

    bool read(std::uint64_t address, void* out, std::size_t size) const;
    bool write(std::uint64_t address, const void* bytes, std::size_t size) const;

    // When the thread's registers were not its own, since the last call.
    struct Windows {
        std::uint32_t count = 0;
        std::uint64_t total_ns = 0;
        std::uint64_t longest_ns = 0;
    };
    Windows take_windows() {
        const Windows taken = windows_;
        windows_ = {};
        return taken;
    }

private:
    enum class State : std::uint8_t { none, stopping, stopped, stepping };
    enum class Wait : std::uint8_t { stopped, gone, timeout };

    Wait wait_stop(Deadline deadline, int* status) const;
    Status finish_step(int status, std::int64_t* result);

    pid_t tid_ = -1;
    State state_ = State::none;
    int pending_signal_ = 0;
    user_regs_struct home_ = {};  // valid while stepping
    std::uint64_t step_began_ = 0;
    Windows windows_;
};

}  // namespace vitrine::guardian
