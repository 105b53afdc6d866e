// Stopping one thread of another process and making its last system call once more with other arguments, with ptrace.
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

// What follows `field` (e.g. "\nTracerPid:\t") in /proc/PID/task/TID/status, as a decimal number; -1 when it is not known.
[[nodiscard]] long thread_status_field(pid_t pid, pid_t tid, const char* field);

class TracedThread {
public:
    TracedThread() = default;

    // Seizes and stops the thread. On any status but ok the thread is not held, or will be let go by settle().
    Status stop(pid_t tid, Deadline deadline, std::int32_t* sys_errno);
    // Lets it go, delivering a signal that it was stopped for.
    void release();
    // After a time-out: waits for the stop that was asked for, undoes what was begun and lets the thread go. Of a thread that
    // was killed: waits for its end, which nobody else is told of as long as we have not taken note of it.
    // True when done; false when `deadline` passed first.
    bool settle(Deadline deadline);
    // Was it killed while it was held? Then it ends here: nobody is told of its end as long as we have not taken note of it.
    void note_end();

    [[nodiscard]] bool held() const { return state_ == State::stopped; }
    [[nodiscard]] bool unsettled() const { return state_ != State::none && state_ != State::stopped; }
    // It is inside a call of ours: it must not be left like that.
    [[nodiscard]] bool in_our_call() const { return state_ == State::calling; }
    // A signal waits to be delivered at release: nothing may be called before that.
    [[nodiscard]] bool signal_pending() const { return pending_signal_ != 0; }
    [[nodiscard]] pid_t tid() const { return tid_; }

    bool get_registers(user_regs_struct* out) const;
    // Makes the system call that the thread is at the end of once more, with other second and third arguments, and puts
    // its registers back. Precondition: held, no pending signal, `home` are its registers, a `syscall` instruction lies right
    // before home.rip. `result` is what the call returned. interrupted: a signal came first, the call was not made.
    //
    // The thread is let into the call with its own arguments and stopped at the entry; they are changed only there. So if
    // this process dies before that, the thread does what it did last: for KVM_RUN, run the guest. PTRACE_SINGLESTEP over the
    // instruction would be simpler, but a thread whose tracer dies in a step is killed by SIGTRAP: the kernel leaves
    // EFLAGS.TF set then.
    Status call_again(const user_regs_struct& home, std::uint64_t second, std::uint64_t third, Deadline deadline,
                      std::int64_t* result);

    bool read(std::uint64_t address, void* out, std::size_t size) const;
    bool write(std::uint64_t address, const void* bytes, std::size_t size) const;

    // Times that the thread spent in calls of ours, since the last question.
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
    enum class State : std::uint8_t { none, stopping, stopped, entering, calling, ending };
    enum class Wait : std::uint8_t { stopped, gone, timeout };

    Wait wait_stop(Deadline deadline, int* status) const;
    Status resume_to_stop(const user_regs_struct& registers, State meanwhile, Deadline deadline, int* status);
    Status put_back(int status, std::int64_t* result);

    pid_t tid_ = -1;
    State state_ = State::none;
    int pending_signal_ = 0;
    user_regs_struct home_ = {};  // valid while entering or calling
    std::uint64_t call_began_ = 0;
    Windows windows_;
};

}  // namespace vitrine::guardian
