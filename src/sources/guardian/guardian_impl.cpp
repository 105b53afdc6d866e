#include "sources/guardian/guardian_impl.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string_view>
#include <utility>

#include "sources/guardian/guardian_errors.h"
#include "sources/guardian/guardian_process.h"

namespace vitrine {

using guardian::guardian_lost;
using guardian::Op;
using guardian::Reply;
using guardian::Request;
using guardian::Status;
using guardian::to_error;
using guardian::VcpuFile;
using guardian::VcpuRecord;

namespace {

// Longer than any operation of the guardian: it answers a time-out itself.
constexpr int kReplyMs = 30'000;
constexpr int kEndMs = 6'000;

int open_pidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

}  // namespace

Guardian::Impl::Impl(GuardianTarget t) : target(std::move(t)), monitor_pidfd(open_pidfd(target.pid)) {}

Result<void> Guardian::Impl::check_alive() const {
    pollfd ended{monitor_pidfd.get(), POLLIN, 0};
    if (ended.fd < 0 || ::poll(&ended, 1, 0) > 0) return to_error(target, Status::gone, 0);
    return {};
}

Result<void> Guardian::Impl::start() {
    VITRINE_CHECK(check_alive());
    if (socket.get() >= 0) return {};
    if (arena.get() == nullptr && !arena.map(guardian::kArenaBytes, MAP_SHARED)) {
        return Error::make(Errc::io, Origin::source, "memory for the guardian");
    }
    if (process_memory.get() == nullptr && !process_memory.map(guardian::process_memory_bytes(), MAP_PRIVATE)) {
        return Error::make(Errc::io, Origin::source, "memory for the guardian");
    }
    int pair[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return Error::make(Errc::io, Origin::source, "socket for the guardian");
    }
    UniqueFd ours(pair[0]);
    const UniqueFd theirs(pair[1]);
    const UniqueFd self(open_pidfd(::getpid()));
    if (self.get() < 0) return Error::make(Errc::unsupported, Origin::source, "pidfd_open (Linux 5.3)");
    guardian::ProcessArguments arguments;
    arguments.socket = theirs.get();
    arguments.owner_pidfd = self.get();
    arguments.monitor_pidfd = monitor_pidfd.get();
    arguments.monitor = target.pid;
    arguments.arena = arena.bytes();
    arguments.memory = process_memory.get();
    arguments.qmp_socket = target.qmp_socket.c_str();
    arguments.qmp_peer = target.socket_peer;
    arguments.qmp_timeout_ms = static_cast<unsigned>(std::clamp<long long>(target.qmp_timeout.count(), 1, 60'000));
    // Not fork(): no handlers of other libraries are to run in the child, and no SIGCHLD is to reach a program that uses
    // this library when the guardian ends (exit signal 0).
    const long got = ::syscall(SYS_clone, 0ul, nullptr, nullptr, nullptr, 0ul);
    if (got == 0) guardian::run_guardian_process(arguments);
    if (got < 0) return Error::make(Errc::io, Origin::source, "starting the guardian");
    child = static_cast<pid_t>(got);
    socket = std::move(ours);
    return {};
}

void Guardian::Impl::end() {
    socket.reset();  // the guardian undoes what it has in hand and exits
    if (child < 0) return;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kEndMs);
    const UniqueFd pidfd(open_pidfd(child));
    pollfd entry{pidfd.get(), POLLIN, 0};
    while (pidfd.get() >= 0 && std::chrono::steady_clock::now() < deadline && ::poll(&entry, 1, 100) <= 0) {
    }
    (void)::waitpid(child, nullptr, WNOHANG | __WALL);
    child = -1;
}

Result<Reply> Guardian::Impl::ask(Op op, std::size_t length) {
    Request request;
    request.op = op;
    request.sequence = ++sequence;
    request.length = static_cast<std::uint32_t>(length);
    if (::send(socket.get(), &request, sizeof(request), MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof(request))) {
        end();
        return guardian_lost();
    }
    for (;;) {
        pollfd entry{socket.get(), POLLIN, 0};
        const int n = ::poll(&entry, 1, kReplyMs);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            end();  // it goes on undoing by itself
            return Error::make(Errc::timeout, Origin::source, "the guardian");
        }
        Reply reply;
        const ssize_t got = ::recv(socket.get(), &reply, sizeof(reply), 0);
        if (got != static_cast<ssize_t>(sizeof(reply))) {
            end();
            return guardian_lost();
        }
        if (reply.sequence == request.sequence && reply.length <= guardian::kArenaBytes) return reply;
    }
}

// An operation that goes through the monitor socket; any status but ok is an error.
Result<Reply> Guardian::Impl::ask_monitor(Op op, std::size_t length) {
    if (socket_is_held) return to_error(target, Status::busy, 0);
    const Reply reply = VITRINE_TRY(ask(op, length));
    if (reply.status == Status::busy) socket_is_held = true;
    if (reply.status != Status::ok) return to_error(target, reply.status, reply.sys_errno);
    return reply;
}

std::vector<pid_t> Guardian::Impl::candidate_threads(bool all) {
    std::vector<pid_t> candidates;
    const auto threads = all ? guardian::list_threads(target.pid) : Result<std::vector<pid_t>>(vcpu_threads);
    if (!threads) return candidates;
    for (const pid_t tid : *threads) {
        if (holds_freeze || guardian::may_be_in_kvm_run(target.pid, tid)) candidates.push_back(tid);
    }
    return candidates;
}

Result<std::vector<VcpuRecord>> Guardian::Impl::ask_vcpus(const std::vector<VcpuFile>& files,
                                                          const std::vector<pid_t>& threads,
                                                          const std::vector<std::uint32_t>& msrs, Status* worst,
                                                          int* sys_errno) {
    auto* request = reinterpret_cast<guardian::VcpuRequest*>(arena.bytes());
    request->thread_count = static_cast<std::uint32_t>(std::min<std::size_t>(threads.size(), guardian::kMaxThreads));
    request->vcpu_count = static_cast<std::uint32_t>(std::min<std::size_t>(files.size(), guardian::kMaxVcpus));
    request->msr_count = static_cast<std::uint32_t>(std::min<std::size_t>(msrs.size(), guardian::kMaxMsrs));
    request->trusts_filter = target.trusts_filter;
    std::copy_n(threads.begin(), request->thread_count, request->threads);
    std::copy_n(files.begin(), request->vcpu_count, request->vcpus);
    std::copy_n(msrs.begin(), request->msr_count, request->msrs);
    const Reply reply = VITRINE_TRY(ask(Op::read_vcpus, sizeof(guardian::VcpuRequest)));
    if (reply.status != Status::ok) return to_error(target, reply.status, reply.sys_errno);
    const auto* answer = reinterpret_cast<const guardian::VcpuReply*>(arena.bytes());
    windows.count += reply.windows;
    windows.total += std::chrono::nanoseconds(reply.windows_total_ns);
    windows.longest = std::max(windows.longest, std::chrono::nanoseconds(reply.longest_window_ns));
    *worst = answer->worst;
    *sys_errno = answer->sys_errno;
    const std::size_t count = std::min<std::size_t>(answer->count, guardian::kMaxVcpus);
    return std::vector<VcpuRecord>(answer->records, answer->records + count);
}

void Guardian::Impl::remember(const std::vector<VcpuRecord>& records) {
    vcpu_threads.clear();
    for (const VcpuRecord& record : records) vcpu_threads.push_back(record.thread);
}

// The guardian was killed while it held a QMP pause: the guest still stands, so the owner does what it can no longer do.
Result<void> Guardian::Impl::continue_without_guardian() {
    const bool ours = holds_qmp && was_running;
    holds_qmp = holds_freeze = was_running = false;
    if (!ours) return {};
    VITRINE_CHECK(start());
    static constexpr std::string_view kCont = "{\"execute\":\"cont\"}\n";
    std::memcpy(arena.bytes(), kCont.data(), kCont.size());
    const Reply reply = VITRINE_TRY(ask(Op::qmp, kCont.size()));
    if (reply.status != Status::ok) return to_error(target, reply.status, reply.sys_errno);
    return {};
}

}  // namespace vitrine
