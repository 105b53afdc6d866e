#include "sources/guardian/guardian.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>

#include "base/unique_fd.h"
#include "sources/guardian/guardian_process.h"
#include "sources/guardian/vcpu_threads.h"
#include "sources/host/process.h"

namespace vitrine {

using guardian::Op;
using guardian::Reply;
using guardian::Request;
using guardian::Status;
using guardian::VcpuFile;
using guardian::VcpuRecord;

namespace {

// Longer than any operation of the guardian: it answers a time-out itself.
constexpr int kReplyMs = 30'000;
constexpr int kEndMs = 6'000;
// vCPU threads leave KVM_RUN now and then for a device; most are back within microseconds. Those of a paused guest sleep.
// Counted in looks as well as in time: a busy host gives us few of them.
constexpr auto kSleepingFor = std::chrono::milliseconds(30);
constexpr int kSleepingLooks = 20;
constexpr auto kLookFor = std::chrono::milliseconds(300);
constexpr int kLooks = 100;
constexpr auto kLookAgain = std::chrono::microseconds(300);
constexpr int kMaxFreezeRounds = 50;

class Mapping {
public:
    Mapping() = default;
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    ~Mapping() {
        if (address_ != nullptr) ::munmap(address_, size_);
    }
    bool map(std::size_t size, int flags) {
        void* got = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (got == MAP_FAILED) return false;
        address_ = got;
        size_ = size;
        return true;
    }
    [[nodiscard]] void* get() const { return address_; }
    [[nodiscard]] std::byte* bytes() const { return static_cast<std::byte*>(address_); }

private:
    void* address_ = nullptr;
    std::size_t size_ = 0;
};

int open_pidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

Error guardian_lost() {
    return Error::with_text(Errc::io, Origin::source, "the guardian process ended while it was needed",
                            "docs/guardian.md says what this can leave behind");
}

// Another tracer, or a missing capability? Both are EPERM.
Error trace_refused(pid_t pid) {
    const auto status = read_whole_file(fmt::format("/proc/{}/status", pid), 64 * 1024);
    const std::size_t at = status ? status->find("TracerPid:\t") : std::string::npos;
    if (at != std::string::npos && status->compare(at + 11, 2, "0\n") != 0) {
        return Error::with_text(Errc::busy, Origin::source, fmt::format("process {} is being traced already", pid),
                                "end the debugger, or the other instance, that holds it");
    }
    return process_error(pid, EPERM, "tracing");
}

Error to_error(const GuardianTarget& target, Status status, int sys_errno) {
    const auto text = [&](Errc code, std::string what, std::string hint = {}) {
        return Error::with_text(code, Origin::source, std::move(what), std::move(hint));
    };
    switch (status) {
        case Status::ok: break;
        case Status::not_in_kvm_run:
            return text(
                Errc::busy,
                fmt::format("no vCPU thread of process {} is running its guest (is the guest paused?)", target.pid));
        case Status::traced:
        case Status::permission: return trace_refused(target.pid);
        case Status::gone: return text(Errc::stale, fmt::format("process {} has ended", target.pid));
        case Status::timeout: return text(Errc::timeout, fmt::format("process {} did not answer in time", target.pid));
        case Status::interrupted:
            return text(Errc::busy,
                        fmt::format("signals keep the vCPU threads of process {} from being read", target.pid));
        case Status::stopped:
            return text(Errc::busy, fmt::format("process {} is stopped by a signal", target.pid),
                        fmt::format("kill -CONT {}", target.pid));
        case Status::forbidden:
            return text(
                Errc::permission,
                fmt::format("the seccomp filter of process {} forbids reading its vCPUs' registers", target.pid));
        case Status::filter_unknown:
            return text(Errc::permission,
                        fmt::format("process {} has a seccomp filter that cannot be read: what it forbids could end it",
                                    target.pid),
                        "give this program CAP_SYS_ADMIN (and CAP_SYS_PTRACE), outside of a container");
        case Status::refused:
            return text(Errc::io, fmt::format("process {}: {}", target.pid,
                                              sys_errno != 0 ? std::strerror(sys_errno) : "refused"));
        case Status::malformed: return text(Errc::malformed, "the monitor's answer is not understood");
        case Status::too_big: return text(Errc::limit, "the monitor's answer is too large");
        case Status::no_connection:
            return text(sys_errno == EACCES || sys_errno == EPERM ? Errc::permission : Errc::io,
                        fmt::format("cannot connect to '{}': {}", target.qmp_socket,
                                    sys_errno != 0 ? std::strerror(sys_errno) : "no socket known"));
        case Status::busy:
            return text(Errc::busy, fmt::format("'{}' gives no greeting: another client holds it", target.qmp_socket));
        case Status::wrong_peer:
            return text(Errc::io,
                        fmt::format("'{}' does not belong to process {} any more", target.qmp_socket, target.pid));
        case Status::migrating:
            return text(Errc::unsupported,
                        fmt::format("the guest of process {} is being migrated: paused now, it would arrive paused",
                                    target.pid),
                        "wait until the migration is over, or leave out the pause");
        case Status::not_held: return text(Errc::usage, "nothing is paused");
        case Status::already_held: return text(Errc::usage, "the guest is paused already");
    }
    return text(Errc::io, "the guardian gave no reason");
}

}  // namespace

struct Guardian::Impl {
    explicit Impl(GuardianTarget t) : target(std::move(t)), monitor_pidfd(open_pidfd(target.pid)) {}
    ~Impl() { end(); }

    Result<void> check_alive() const;
    Result<void> start();
    Result<Reply> ask(Op op, std::size_t length);
    Result<Reply> ask_monitor(Op op, std::size_t length);
    Result<std::vector<VcpuRecord>> ask_vcpus(const std::vector<VcpuFile>& files, const std::vector<pid_t>& threads,
                                              const std::vector<std::uint32_t>& msrs, Status* worst, int* sys_errno);
    std::vector<pid_t> candidate_threads(bool all);
    void remember(const std::vector<VcpuRecord>& records);
    Result<void> continue_without_guardian();
    void end();

    GuardianTarget target;
    UniqueFd monitor_pidfd;  // from construction on: the pid cannot be taken over by another process unnoticed
    std::mutex mutex;        // one request at a time
    Mapping arena;
    Mapping process_memory;
    UniqueFd socket;
    pid_t child = -1;
    std::uint32_t sequence = 0;
    bool holds_qmp = false;
    bool holds_freeze = false;
    bool was_running = false;
    std::atomic<bool> socket_is_held = false;
    std::vector<pid_t> vcpu_threads;  // that were seen in KVM_RUN
    std::vector<VcpuFile> vcpu_files;
    Windows windows;
};

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

Guardian::Guardian(GuardianTarget target) : impl_(std::make_unique<Impl>(std::move(target))) {}
Guardian::~Guardian() {
    if (impl_->holds_qmp || impl_->holds_freeze) (void)resume();
}

Result<void> Guardian::start() {
    const std::lock_guard lock(impl_->mutex);
    return impl_->start();
}

Result<std::vector<VcpuRecord>> Guardian::read_vcpus(const std::vector<std::uint32_t>& msr_indices) {
    const std::lock_guard lock(impl_->mutex);
    VITRINE_CHECK(impl_->start());
    if (impl_->vcpu_files.empty()) impl_->vcpu_files = VITRINE_TRY(guardian::find_vcpu_files(impl_->target.pid));
    std::vector<VcpuFile> missing = impl_->vcpu_files;
    std::vector<VcpuRecord> found;
    Status worst = Status::not_in_kvm_run;
    int sys_errno = 0;
    const auto began = std::chrono::steady_clock::now();
    auto last_awake = began;
    int looks = 0;
    int sleeping_looks = 0;
    bool all = impl_->vcpu_threads.empty();
    for (;;) {
        const std::vector<pid_t> threads = impl_->candidate_threads(all);
        all = true;  // those seen before first, then every thread
        const auto now = std::chrono::steady_clock::now();
        ++looks;
        ++sleeping_looks;
        if (!threads.empty()) {
            last_awake = now;
            sleeping_looks = 0;
            const auto records = VITRINE_TRY(impl_->ask_vcpus(missing, threads, msr_indices, &worst, &sys_errno));
            found.insert(found.end(), records.begin(), records.end());
            std::erase_if(missing, [&](const VcpuFile& file) {
                return std::any_of(records.begin(), records.end(),
                                   [&](const VcpuRecord& r) { return r.id == file.id; });
            });
        }
        const bool asleep = sleeping_looks > kSleepingLooks && now - last_awake > kSleepingFor;
        if (missing.empty() || asleep || (looks > kLooks && now - began > kLookFor)) break;
        // Another reader lets go within a millisecond; it may have done so before its traces were looked for.
        const bool passes = worst == Status::traced || (worst == Status::permission && looks < 3);
        if (worst != Status::not_in_kvm_run && worst != Status::interrupted && worst != Status::gone && !passes) break;
        std::this_thread::sleep_for(kLookAgain);
    }
    if (found.empty()) {
        impl_->vcpu_files.clear();  // vCPUs may be plugged or replaced: look again next time
        impl_->vcpu_threads.clear();
        return to_error(impl_->target, worst, sys_errno);
    }
    impl_->remember(found);
    std::sort(found.begin(), found.end(), [](const VcpuRecord& a, const VcpuRecord& b) { return a.id < b.id; });
    return found;
}

Result<void> Guardian::pause_by_qmp() {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->holds_qmp || impl_->holds_freeze) return to_error(impl_->target, Status::already_held, 0);
    VITRINE_CHECK(impl_->start());
    const Reply reply = VITRINE_TRY(impl_->ask_monitor(Op::pause_qmp, 0));
    impl_->holds_qmp = true;
    impl_->was_running = reply.flag;
    return {};
}

Result<void> Guardian::pause_by_freeze() {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->holds_qmp || impl_->holds_freeze) return to_error(impl_->target, Status::already_held, 0);
    VITRINE_CHECK(impl_->start());
    // A thread that is not stopped yet may start another: until a look finds nobody new.
    std::vector<pid_t> stopped;
    for (int round = 0; round < kMaxFreezeRounds; ++round) {
        std::vector<pid_t> threads = VITRINE_TRY(guardian::list_threads(impl_->target.pid));
        std::sort(threads.begin(), threads.end());
        if (threads == stopped) {
            impl_->holds_freeze = true;
            return {};
        }
        auto* list = reinterpret_cast<guardian::ThreadList*>(impl_->arena.bytes());
        list->count = static_cast<std::uint32_t>(threads.size());
        std::copy(threads.begin(), threads.end(), list->threads);
        const Reply reply = VITRINE_TRY(impl_->ask(Op::freeze, sizeof(guardian::ThreadList)));
        if (reply.status != Status::ok) return to_error(impl_->target, reply.status, reply.sys_errno);
        stopped = std::move(threads);
    }
    (void)impl_->ask(Op::resume, 0);
    return Error::make(Errc::limit, Origin::source, "stopping a monitor that keeps starting threads");
}

Result<void> Guardian::resume() {
    const std::lock_guard lock(impl_->mutex);
    if (!impl_->holds_qmp && !impl_->holds_freeze) return to_error(impl_->target, Status::not_held, 0);
    const auto reply = impl_->socket.get() >= 0 ? impl_->ask(Op::resume, 0) : Result<Reply>(guardian_lost());
    if (!reply) return impl_->continue_without_guardian();
    if (reply->status != Status::ok && reply->status != Status::not_held) {
        return to_error(impl_->target, reply->status, reply->sys_errno);
    }
    impl_->holds_qmp = impl_->holds_freeze = impl_->was_running = false;
    return {};
}

bool Guardian::holds_qmp() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->holds_qmp;
}

bool Guardian::holds_freeze() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->holds_freeze;
}

bool Guardian::socket_is_held() const { return impl_->socket_is_held; }
void Guardian::note_held_socket() { impl_->socket_is_held = true; }

Result<void> Guardian::check_alive() const { return impl_->check_alive(); }

Result<std::string> Guardian::qmp(std::string_view command_line) {
    const std::lock_guard lock(impl_->mutex);
    VITRINE_CHECK(impl_->start());
    if (command_line.size() > 60'000) return Error::make(Errc::limit, Origin::source, "monitor command");
    std::memcpy(impl_->arena.bytes(), command_line.data(), command_line.size());
    const Reply reply = VITRINE_TRY(impl_->ask_monitor(Op::qmp, command_line.size()));
    return std::string(reinterpret_cast<const char*>(impl_->arena.bytes()), reply.length);
}

Result<std::vector<std::byte>> Guardian::device_state() {
    const std::lock_guard lock(impl_->mutex);
    VITRINE_CHECK(impl_->start());
    const Reply reply = VITRINE_TRY(impl_->ask_monitor(Op::device_state, 0));
    return std::vector<std::byte>(impl_->arena.bytes(), impl_->arena.bytes() + reply.length);
}

Guardian::Windows Guardian::windows() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->windows;
}
const GuardianTarget& Guardian::target() const { return impl_->target; }
pid_t Guardian::process_id() const { return impl_->child; }

}  // namespace vitrine
