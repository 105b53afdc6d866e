#include "sources/guardian/tracing.h"

#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1  // si_code of a SIGSYS that a seccomp filter raised
#endif

namespace vitrine::guardian {

namespace {

constexpr int kMaxSignalsPassed = 64;
constexpr int kSpins = 60;  // some 20 microseconds

bool is_group_stop(int signal) { return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU; }
int event_of(int status) { return status >> 16; }

// The tracer's own threads do not exist: one SIGCHLD (blocked) tells that some tracee changed state.
void wait_for_child_signal(std::uint64_t at_most_ns) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    const std::uint64_t nanoseconds = at_most_ns < 20'000'000 ? at_most_ns : 20'000'000;
    const timespec limit{0, static_cast<long>(nanoseconds)};
    (void)sigtimedwait(&set, nullptr, &limit);
}

}  // namespace

std::uint64_t monotonic_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(now.tv_nsec);
}

Deadline Deadline::after_ms(std::uint64_t milliseconds) { return Deadline(monotonic_ns() + milliseconds * 1'000'000u); }
bool Deadline::passed() const { return left_ns() == 0; }
std::uint64_t Deadline::left_ns() const {
    const std::uint64_t now = monotonic_ns();
    return now >= at_ns_ ? 0 : at_ns_ - now;
}

TracedThread::Wait TracedThread::wait_stop(Deadline deadline, int* status) const {
    for (int round = 0;; ++round) {
        const pid_t got = waitpid(tid_, status, WNOHANG | __WALL);
        if (got == tid_) return WIFSTOPPED(*status) ? Wait::stopped : Wait::gone;
        if (got < 0 && errno != EINTR) return Wait::gone;
        if (deadline.passed()) return Wait::timeout;
        // A single step ends within microseconds: looking again is cheaper than sleeping, and keeps the time short in
        // which the thread's registers are not its own.
        if (round < kSpins) {
            __builtin_ia32_pause();
        } else {
            wait_for_child_signal(deadline.left_ns());
        }
    }
}

Status TracedThread::stop(pid_t tid, Deadline deadline, std::int32_t* sys_errno) {
    *this = TracedThread();
    tid_ = tid;
    // No options: PTRACE_O_EXITKILL in particular would kill the monitor if the guardian died.
    if (ptrace(PTRACE_SEIZE, tid, nullptr, nullptr) != 0) {
        *sys_errno = errno;
        if (errno == ESRCH) return Status::gone;
        return errno == EPERM ? Status::permission : Status::refused;
    }
    state_ = State::stopping;
    if (ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr) != 0) {
        *sys_errno = errno;
        if (errno == ESRCH) return Status::gone;
        return Status::refused;
    }
    for (int passed = 0; passed < kMaxSignalsPassed; ++passed) {
        int status = 0;
        const Wait outcome = wait_stop(deadline, &status);
        if (outcome == Wait::gone) {
            state_ = State::none;
            return Status::gone;
        }
        if (outcome == Wait::timeout) return Status::timeout;
        if (event_of(status) == PTRACE_EVENT_STOP) {
            state_ = State::stopped;
            return is_group_stop(WSTOPSIG(status)) ? Status::stopped : Status::ok;
        }
        // A signal came first: let it be handled as if nobody looked; the stop that was asked for follows.
        const int signal = event_of(status) == 0 ? WSTOPSIG(status) : 0;
        (void)ptrace(PTRACE_CONT, tid_, nullptr, static_cast<long>(signal));
    }
    return Status::timeout;
}

void TracedThread::release() {
    if (state_ != State::stopped) return;
    (void)ptrace(PTRACE_DETACH, tid_, nullptr, static_cast<long>(pending_signal_));
    state_ = State::none;
    pending_signal_ = 0;
}

bool TracedThread::settle(Deadline deadline) {
    if (!unsettled()) return true;
    // A thread that was set going for one step and has not come back (it waits in the kernel) is asked to stop again.
    if (state_ == State::stepping) (void)ptrace(PTRACE_INTERRUPT, tid_, nullptr, nullptr);
    int status = 0;
    const Wait outcome = wait_stop(deadline, &status);
    if (outcome == Wait::timeout) return false;
    if (outcome == Wait::gone) {
        state_ = State::none;
        return true;
    }
    if (state_ == State::stepping) {
        std::int64_t unused = 0;
        (void)finish_step(status, &unused);
    } else {
        state_ = State::stopped;
        pending_signal_ = event_of(status) == 0 ? WSTOPSIG(status) : 0;
    }
    release();
    return true;
}

bool TracedThread::get_registers(user_regs_struct* out) const {
    return state_ == State::stopped && ptrace(PTRACE_GETREGS, tid_, nullptr, out) == 0;
}

Status TracedThread::inject(const user_regs_struct& home, std::uint64_t number, const std::uint64_t (&arguments)[3],
                            Deadline deadline, std::int64_t* result) {
    user_regs_struct call = home;
    call.rip = home.rip - 2;
    call.rax = number;
    call.orig_rax = ~0ull;  // no system call is under way: nothing to restart
    call.rdi = arguments[0];
    call.rsi = arguments[1];
    call.rdx = arguments[2];
    home_ = home;
    step_began_ = monotonic_ns();
    if (ptrace(PTRACE_SETREGS, tid_, nullptr, &call) != 0) return Status::gone;
    state_ = State::stepping;
    if (ptrace(PTRACE_SINGLESTEP, tid_, nullptr, nullptr) != 0) {
        // Only a killed thread refuses: it will never run with these registers.
        state_ = State::none;
        return Status::gone;
    }
    int status = 0;
    const Wait outcome = wait_stop(deadline, &status);
    if (outcome == Wait::timeout) return Status::timeout;
    if (outcome == Wait::gone) {
        state_ = State::none;
        return Status::gone;
    }
    return finish_step(status, result);
}

// The thread has stopped after PTRACE_SINGLESTEP: puts its registers back before anything else, then says what happened.
Status TracedThread::finish_step(int status, std::int64_t* result) {
    user_regs_struct now{};
    const bool known = ptrace(PTRACE_GETREGS, tid_, nullptr, &now) == 0;
    const bool restored = ptrace(PTRACE_SETREGS, tid_, nullptr, &home_) == 0;
    const std::uint64_t window = monotonic_ns() - step_began_;
    ++windows_.count;
    windows_.total_ns += window;
    if (window > windows_.longest_ns) windows_.longest_ns = window;
    if (!known || !restored) {  // it was killed between two calls
        state_ = State::none;
        return Status::gone;
    }
    state_ = State::stopped;
    if (event_of(status) == PTRACE_EVENT_STOP) return is_group_stop(WSTOPSIG(status)) ? Status::stopped : Status::interrupted;
    const int signal = WSTOPSIG(status);
    siginfo_t info{};
    (void)ptrace(PTRACE_GETSIGINFO, tid_, nullptr, &info);
    // A SIGTRAP that the kernel raised is the step's own, whatever it stepped to; the monitor must never see it.
    if (signal == SIGTRAP && info.si_code > 0) {
        if (now.rip != home_.rip) return Status::interrupted;
        *result = static_cast<std::int64_t>(now.rax);
        return Status::ok;
    }
    if (signal == SIGSYS && info.si_code == SYS_SECCOMP) return Status::refused;  // ours: the monitor never sees it
    // A signal for the monitor came first and the call was not made. It is delivered at release, unchanged: the kernel
    // keeps its siginfo as long as nothing is resumed in between.
    pending_signal_ = signal;
    return Status::interrupted;
}

bool TracedThread::read(std::uint64_t address, void* out, std::size_t size) const {
    iovec local{out, size};
    iovec remote{reinterpret_cast<void*>(address), size};
    return process_vm_readv(tid_, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(size);
}

bool TracedThread::write(std::uint64_t address, const void* bytes, std::size_t size) const {
    iovec local{const_cast<void*>(bytes), size};
    iovec remote{reinterpret_cast<void*>(address), size};
    return process_vm_writev(tid_, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(size);
}

}  // namespace vitrine::guardian
