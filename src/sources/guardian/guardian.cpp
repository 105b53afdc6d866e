#include "sources/guardian/guardian.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "sources/guardian/guardian_errors.h"
#include "sources/guardian/guardian_impl.h"

namespace vitrine {

using guardian::guardian_lost;
using guardian::Op;
using guardian::Reply;
using guardian::Status;
using guardian::to_error;
using guardian::VcpuFile;
using guardian::VcpuRecord;

namespace {

// vCPU threads leave KVM_RUN now and then for a device; most are back within microseconds. Those of a paused guest sleep.
// Counted in looks as well as in time: a busy host gives us few of them.
constexpr auto kSleepingFor = std::chrono::milliseconds(30);
constexpr int kSleepingLooks = 20;
constexpr auto kLookFor = std::chrono::milliseconds(300);
constexpr int kLooks = 100;
constexpr auto kLookAgain = std::chrono::microseconds(300);
constexpr int kMaxFreezeRounds = 50;

}  // namespace

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
