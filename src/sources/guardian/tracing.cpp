#include "sources/guardian/tracing.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_SECCOMP
#    define SYS_SECCOMP 1  // si_code of a SIGSYS that a seccomp filter raised
#endif

namespace vitrine::guardian {

namespace {

constexpr int kMaxSignalsPassed = 64;
constexpr int kSpins = 60;  // some 20 microseconds

bool is_group_stop(int signal) {
    return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}
int event_of(int status) { return status >> 16; }
bool is_system_call_stop(int status) { return WSTOPSIG(status) == (SIGTRAP | 0x80); }  // PTRACE_O_TRACESYSGOOD

// The tracer's own threads do not exist: one SIGCHLD (blocked) tells that some tracee changed state.
void wait_for_child_signal(std::uint64_t at_most_ns) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    const std::uint64_t nanoseconds = at_most_ns < 20'000'000 ? at_most_ns : 20'000'000;
    const timespec limit{0, static_cast<long>(nanoseconds)};
    (void)sigtimedwait(&set, nullptr, &limit);
}

std::uint64_t monotonic_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace

long thread_status_field(pid_t pid, pid_t tid, const char* field) {
    char path[64];
    char text[4096];
    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
    const int file = ::open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return -1;
    const ssize_t n = ::read(file, text, sizeof(text) - 1);
    ::close(file);
    if (n <= 0) return -1;
    text[n] = '\0';
    const char* found = strstr(text, field);
    return found == nullptr ? -1 : strtol(found + strlen(field), nullptr, 10);
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
        // A call of ours ends within microseconds: looking again is cheaper than sleeping, and keeps the time short in
        // which the thread is in it.
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
    // Never PTRACE_O_EXITKILL: it would kill the monitor if the guardian died.
    if (ptrace(PTRACE_SEIZE, tid, nullptr, static_cast<long>(PTRACE_O_TRACESYSGOOD)) != 0) {
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
    // Refused for a thread that was killed only.
    const bool detached = ptrace(PTRACE_DETACH, tid_, nullptr, static_cast<long>(pending_signal_)) == 0;
    state_ = detached ? State::none : State::ending;
    pending_signal_ = 0;
}

bool TracedThread::settle(Deadline deadline) {
    if (!unsettled()) return true;
    const bool was_set_going = state_ == State::entering || state_ == State::calling;
    // It waits in the kernel: it is asked to stop again.
    if (was_set_going) (void)ptrace(PTRACE_INTERRUPT, tid_, nullptr, nullptr);
    int status = 0;
    const Wait outcome = wait_stop(deadline, &status);
    if (outcome == Wait::timeout) return false;
    if (outcome == Wait::gone) {
        state_ = State::none;
        return true;
    }
    if (state_ == State::ending) return false;  // it stops no more
    if (was_set_going) {
        std::int64_t unused = 0;
        (void)put_back(status, &unused);
    } else {
        state_ = State::stopped;
        pending_signal_ = event_of(status) == 0 ? WSTOPSIG(status) : 0;
    }
    release();
    return !unsettled();
}

void TracedThread::note_end() {
    int status = 0;
    if (state_ == State::stopped && wait_stop(Deadline::after_ms(0), &status) == Wait::gone) state_ = State::none;
}

bool TracedThread::get_registers(user_regs_struct* out) const {
    return state_ == State::stopped && ptrace(PTRACE_GETREGS, tid_, nullptr, out) == 0;
}

// Lets the thread run with these registers to the next system call stop, or whatever comes first.
Status TracedThread::resume_to_stop(const user_regs_struct& registers, State meanwhile, Deadline deadline,
                                    int* status) {
    // Only a killed thread refuses these: it will never run with the registers.
    if (ptrace(PTRACE_SETREGS, tid_, nullptr, &registers) != 0 || ptrace(PTRACE_SYSCALL, tid_, nullptr, nullptr) != 0) {
        state_ = State::ending;
        return Status::gone;
    }
    state_ = meanwhile;
    const Wait outcome = wait_stop(deadline, status);
    if (outcome == Wait::timeout) return Status::timeout;
    if (outcome == Wait::stopped) return Status::ok;
    state_ = State::none;
    return Status::gone;
}

Status TracedThread::call_again(const user_regs_struct& home, std::uint64_t second, std::uint64_t third,
                                Deadline deadline, std::int64_t* result) {
    home_ = home;
    user_regs_struct registers = home;
    registers.rip = home.rip - 2;
    registers.rax = home.orig_rax;
    registers.orig_rax = ~0ull;  // no system call is under way: nothing to restart
    int status = 0;
    Status outcome = resume_to_stop(registers, State::entering, deadline, &status);
    if (outcome != Status::ok) return outcome;
    const bool at_entry = is_system_call_stop(status) && ptrace(PTRACE_GETREGS, tid_, nullptr, &registers) == 0 &&
                          registers.rip == home.rip && registers.orig_rax == home.orig_rax;
    if (!at_entry) return put_back(status, result);
    registers.rsi = second;
    registers.rdx = third;
    call_began_ = monotonic_ns();
    outcome = resume_to_stop(registers, State::calling, deadline, &status);
    return outcome == Status::ok ? put_back(status, result) : outcome;
}

// The thread has stopped again: puts its registers back before anything else, then says what happened.
Status TracedThread::put_back(int status, std::int64_t* result) {
    const bool called = state_ == State::calling;
    user_regs_struct now{};
    const bool known = ptrace(PTRACE_GETREGS, tid_, nullptr, &now) == 0;
    // At the entry of a call: 'no call' in orig_rax makes the kernel skip it and keep rax.
    user_regs_struct home = home_;
    if (!called && is_system_call_stop(status)) home.orig_rax = ~0ull;
    const bool restored = ptrace(PTRACE_SETREGS, tid_, nullptr, &home) == 0;
    if (called) {
        const std::uint64_t window = monotonic_ns() - call_began_;
        ++windows_.count;
        windows_.total_ns += window;
        if (window > windows_.longest_ns) windows_.longest_ns = window;
    }
    if (!known || !restored) {  // it was killed between two calls
        state_ = State::ending;
        return Status::gone;
    }
    state_ = State::stopped;
    if (is_system_call_stop(status)) {
        if (!called) return Status::interrupted;
        *result = static_cast<std::int64_t>(now.rax);
        return Status::ok;
    }
    if (event_of(status) == PTRACE_EVENT_STOP)
        return is_group_stop(WSTOPSIG(status)) ? Status::stopped : Status::interrupted;
    siginfo_t info{};
    (void)ptrace(PTRACE_GETSIGINFO, tid_, nullptr, &info);
    // Ours: the monitor never sees it.
    if (WSTOPSIG(status) == SIGSYS && info.si_code == SYS_SECCOMP) return Status::refused;
    // A signal for the monitor came first and the call was not made. It is delivered at release, unchanged: the kernel
    // keeps its siginfo as long as nothing is resumed in between.
    pending_signal_ = WSTOPSIG(status);
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
