#include "sources/guardian/guardian_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sources/guardian/kvm_injection.h"
#include "sources/guardian/pause_keeper.h"
#include "sources/guardian/qmp_channel.h"
#include "sources/guardian/tracing.h"

namespace vitrine::guardian {

namespace {

constexpr std::uint64_t kStopMs = 500;         // for one thread to stop
constexpr std::uint64_t kReadVcpusMs = 2'000;  // for all vCPUs
constexpr std::uint64_t kFreezeMs = 2'000;
constexpr std::uint64_t kCommandMs = 10'000;
constexpr std::uint64_t kResumeMs = 5'000;
constexpr std::size_t kMaxCommand = 64 * 1024;

// Lives in freshly mapped, zeroed pages and is not initialised further: most of it is never touched, and zeros are the
// right beginning (a TracedThread in State::none).
struct Memory {
    TracedThread frozen[kMaxThreads];
    VcpuRequest vcpu_request;
    ThreadList thread_list;
    struct sock_filter filter[BPF_MAXINSNS];
    char command[kMaxCommand];
    char qmp_buffer[QmpChannel::kMaxReply];
};

class GuardianProcess {
public:
    explicit GuardianProcess(const ProcessArguments& arguments)
        : arguments_(arguments),
          memory_(static_cast<Memory*>(arguments.memory)),
          freezer_(memory_->frozen),
          channel_(memory_->qmp_buffer),
          pause_(channel_, arguments.qmp_socket, arguments.qmp_peer, arguments.qmp_timeout_ms) {}

    void run() {
        while (wait_for_request()) {
            Request request;
            const ssize_t n = ::recv(arguments_.socket, &request, sizeof(request), 0);
            if (n != static_cast<ssize_t>(sizeof(request))) break;  // 0: the owner is gone
            Reply reply;
            reply.sequence = request.sequence;
            handle(request, &reply);
            (void)::send(arguments_.socket, &reply, sizeof(reply), MSG_NOSIGNAL);
            settle_current();
        }
        undo_everything();
    }

private:
    [[nodiscard]] bool idle() const { return !freezer_.holds_any() && !pause_.holds(); }

    // False: nobody will ask again.
    bool wait_for_request() {
        for (;;) {
            pollfd entries[3] = {
                {arguments_.socket, POLLIN, 0}, {arguments_.owner_pidfd, POLLIN, 0}, {signals(), POLLIN, 0}};
            if (::poll(entries, 3, -1) < 0 && errno != EINTR) return false;
            if (entries[0].revents != 0) return true;  // recv tells a request from the end
            if (entries[1].revents != 0) return false;
            if (entries[2].revents == 0) continue;
            signalfd_siginfo info;
            if (::read(signals_, &info, sizeof(info)) <= 0) continue;
            if (info.ssi_signo == SIGCHLD) {
                freezer_.note_ends();
            } else if (idle()) {  // asked to end: only with nothing in hand; else when the owner ends
                return false;
            }
        }
    }

    int signals() {
        if (signals_ < 0) {
            sigset_t set;
            sigemptyset(&set);
            sigaddset(&set, SIGTERM);
            sigaddset(&set, SIGINT);
            sigaddset(&set, SIGHUP);
            sigaddset(&set, SIGCHLD);  // a thread that is held was killed
            signals_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        }
        return signals_;
    }

    static bool has_ended(int pidfd) {
        pollfd entry{pidfd, POLLIN, 0};
        return ::poll(&entry, 1, 0) > 0;
    }
    [[nodiscard]] bool monitor_is_gone() const { return has_ended(arguments_.monitor_pidfd); }
    [[nodiscard]] bool owner_is_gone() const { return has_ended(arguments_.owner_pidfd); }

    void handle(const Request& request, Reply* reply) {
        if (monitor_is_gone()) {
            freezer_.thaw();  // ends for its parent only now
            if (request.op != Op::resume && request.op != Op::hello) {
                reply->status = Status::gone;
                return;
            }
        }
        switch (request.op) {
            case Op::hello: return;
            case Op::read_vcpus: return read_vcpus(request, reply);
            case Op::freeze: return freeze(request, reply);
            case Op::pause_qmp: reply->status = pause_.pause(&reply->flag, &reply->sys_errno); return;
            case Op::resume: return resume(reply);
            case Op::qmp: return relay(request, reply);
            case Op::device_state: return device_state(reply);
        }
        reply->status = Status::malformed;
    }

    void resume(Reply* reply) {
        const bool held = !idle();
        freezer_.thaw();
        reply->status = held ? Status::ok : Status::not_held;
        if (pause_.holds()) reply->status = pause_.resume(Deadline::after_ms(kResumeMs));
    }

    void freeze(const Request& request, Reply* reply) {
        reply->status = Status::malformed;
        if (request.length != sizeof(ThreadList)) return;
        memcpy(&memory_->thread_list, arguments_.arena, sizeof(ThreadList));
        reply->status = freezer_.add(memory_->thread_list, Deadline::after_ms(kFreezeMs), &reply->sys_errno);
    }

    void read_vcpus(const Request& request, Reply* reply) {
        reply->status = Status::malformed;
        if (request.length != sizeof(VcpuRequest)) return;
        VcpuRequest& asked = memory_->vcpu_request;
        memcpy(&asked, arguments_.arena, sizeof(asked));
        if (asked.thread_count > kMaxThreads || asked.vcpu_count > kMaxVcpus || asked.msr_count > kMaxMsrs) return;
        auto* answer = reinterpret_cast<VcpuReply*>(arguments_.arena);
        answer->count = 0;
        answer->worst = Status::not_in_kvm_run;
        answer->sys_errno = 0;
        const Deadline deadline = Deadline::after_ms(kReadVcpusMs);
        for (std::uint32_t i = 0; i < asked.thread_count && answer->count < asked.vcpu_count; ++i) {
            if (deadline.passed()) break;
            const TracedThread::Windows windows = read_thread(asked.threads[i], asked, deadline, answer);
            reply->windows += windows.count;
            reply->windows_total_ns += windows.total_ns;
            if (windows.longest_ns > reply->longest_window_ns) reply->longest_window_ns = windows.longest_ns;
            if (current_.unsettled()) break;
        }
        reply->status = Status::ok;
        reply->length = sizeof(VcpuReply);
    }

    TracedThread::Windows read_thread(pid_t tid, const VcpuRequest& asked, Deadline deadline, VcpuReply* answer) {
        TracedThread* thread = freezer_.find(tid);
        const bool frozen = thread != nullptr;
        Status status = Status::ok;
        std::int32_t error = 0;
        if (!frozen) {
            thread = &current_;
            status = current_.stop(tid, Deadline::after_ms(kStopMs), &error);
            if (status == Status::permission && thread_status_field(arguments_.monitor, tid, "\nTracerPid:\t") > 0) {
                status = Status::traced;
            }
        }
        user_regs_struct home{};
        if (status == Status::ok) status = read_held(*thread, asked, deadline, answer, &home, &error);
        if (status != Status::ok && status != Status::not_in_kvm_run) {
            answer->worst = status;
            answer->sys_errno = error;
        }
        if (!frozen) current_.release();
        return thread->take_windows();
    }

    Status read_held(TracedThread& thread, const VcpuRequest& asked, Deadline deadline, VcpuReply* answer,
                     user_regs_struct* home, std::int32_t* error) {
        if (thread.signal_pending()) return Status::interrupted;
        if (!thread.get_registers(home)) return Status::gone;
        const int index = vcpu_of(thread, *home, asked.vcpus, asked.vcpu_count);
        if (index < 0) return Status::not_in_kvm_run;
        const VcpuFile& vcpu = asked.vcpus[index];
        for (std::uint32_t i = 0; i < answer->count; ++i) {
            if (answer->records[i].id == vcpu.id) return Status::ok;
        }
        const Status status = read_vcpu(thread, *home, vcpu, asked, arguments_.monitor, memory_->filter, deadline,
                                        &answer->records[answer->count], error);
        if (status == Status::ok) ++answer->count;
        return status;
    }

    void relay(const Request& request, Reply* reply) {
        reply->status = Status::malformed;
        if (request.length == 0 || request.length > kMaxCommand) return;
        memcpy(memory_->command, arguments_.arena, request.length);
        reply->status = pause_.ensure_open(&reply->sys_errno);
        if (reply->status != Status::ok) return;
        TextView answer;
        const TextView command{memory_->command, request.length};
        const Status status = channel_.execute(command, Deadline::after_ms(kCommandMs), &answer);
        reply->status = status == Status::refused ? Status::ok : status;  // the reply says what was refused
        if (reply->status == Status::ok) {
            memcpy(arguments_.arena, answer.data, answer.size);
            reply->length = static_cast<std::uint32_t>(answer.size);
        }
        if (!pause_.holds()) channel_.close();
    }

    // QEMU writes into a file of ours that it gets as a descriptor: no path, so that a monitor in another mount namespace,
    // of another user or in a sandbox can do it, and nothing is left behind.
    void device_state(Reply* reply) {
        const int file = memfd_create("vitrine-device-state", MFD_CLOEXEC);
        char path[64];
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
        // QEMU looks for a descriptor of exactly the access mode that it wants to open with.
        const int writable = file < 0 ? -1 : ::open(path, O_WRONLY | O_CLOEXEC);
        reply->sys_errno = writable < 0 ? errno : 0;
        reply->status = writable < 0 ? Status::refused : pause_.ensure_open(&reply->sys_errno);
        if (reply->status == Status::ok) reply->status = pause_.check_not_migrating();
        if (reply->status == Status::ok) reply->status = save_devices_to(writable);
        if (!pause_.holds()) channel_.close();
        if (reply->status == Status::ok) {
            // The descriptors share one file position, so ours is where QEMU stopped writing.
            const off_t end = lseek(writable, 0, SEEK_CUR);
            const ssize_t n = end > 0 ? pread(file, arguments_.arena, kArenaBytes, 0) : -1;
            reply->status = n >= end ? Status::ok : Status::too_big;
            reply->length = n >= end ? static_cast<std::uint32_t>(end) : 0;
        }
        if (writable >= 0) ::close(writable);
        if (file >= 0) ::close(file);
    }

    Status save_devices_to(int writable) {
        char* line = memory_->command;
        int n = snprintf(line, kMaxCommand, "{\"execute\":\"add-fd\"}\n");
        TextView answer;
        Status status = channel_.execute(TextView{line, static_cast<std::size_t>(n)}, Deadline::after_ms(kCommandMs),
                                         &answer, writable);
        if (status != Status::ok) return status;
        TextView result;
        TextView number;
        if (!json_member(answer, "return", &result) || !json_member(result, "fdset-id", &number) || number.size > 9) {
            return Status::malformed;
        }
        unsigned set = 0;
        for (std::size_t i = 0; i < number.size; ++i) {
            if (number.data[i] < '0' || number.data[i] > '9') return Status::malformed;
            set = set * 10 + static_cast<unsigned>(number.data[i] - '0');
        }
        // live=false: with live (the default) QEMU gives up its disk images if the guest happens to be paused.
        n = snprintf(
            line, kMaxCommand,
            "{\"execute\":\"xen-save-devices-state\",\"arguments\":{\"filename\":\"/dev/fdset/%u\",\"live\":false}}\n",
            set);
        status = channel_.execute(TextView{line, static_cast<std::size_t>(n)}, Deadline::after_ms(kCommandMs), &answer);
        n = snprintf(line, kMaxCommand, "{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":%u}}\n", set);
        if (channel_.is_open()) {
            (void)channel_.execute(TextView{line, static_cast<std::size_t>(n)}, Deadline::after_ms(kCommandMs),
                                   &answer);
        }
        return status;
    }

    // A thread that did not stop in time has been told to the owner already; it is let go as soon as it can be.
    void settle_current() {
        while (!current_.settle(Deadline::after_ms(100))) {
            // With nothing changed in it the kernel lets it go when we end.
            if (owner_is_gone() && !current_.in_our_call()) _exit(0);
            freezer_.note_ends();  // it may be the first thread of a process that was killed
        }
    }

    void undo_everything() {
        freezer_.thaw();
        while (pause_.holds() && !monitor_is_gone()) {
            if (pause_.resume(Deadline::after_ms(kResumeMs)) == Status::ok) break;
        }
    }

    ProcessArguments arguments_;
    Memory* memory_;
    Freezer freezer_;
    QmpChannel channel_;
    QmpPause pause_;
    TracedThread current_;
    int signals_ = -1;
};

void close_everything_but(const int (&kept)[3]) {
    int from = 0;
    for (int round = 0; round < 4; ++round) {
        int next = -1;
        for (const int fd : kept) {
            if (fd >= from && (next < 0 || fd < next)) next = fd;
        }
        const unsigned last = next < 0 ? ~0u : static_cast<unsigned>(next) - 1;
        if (next != from && syscall(SYS_close_range, static_cast<unsigned>(from), last, 0u) != 0) {
            // Linux before 5.9
            for (int fd = from; fd < 65536 && static_cast<unsigned>(fd) <= last; ++fd) ::close(fd);
        }
        if (next < 0) return;
        from = next + 1;
    }
}

void detach_from_owner(const ProcessArguments& arguments) {
    (void)setsid();  // an interrupt typed at the owner's terminal must not reach us
    close_everything_but({arguments.socket, arguments.owner_pidfd, arguments.monitor_pidfd});
    (void)prctl(PR_SET_NAME, "vitrine-guard");
    // Between the end of a call in a thread and putting its registers back nobody should come in between. Where the
    // privilege for that is missing, the work is right all the same.
    const sched_param lowest{sched_get_priority_min(SCHED_FIFO)};
    if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &lowest) != 0) (void)setpriority(PRIO_PROCESS, 0, -20);
    // Handlers of the owner are code that must not run here; SIGCHLD tells of tracees only if it is not ignored.
    struct sigaction standard{};
    standard.sa_handler = SIG_DFL;
    for (int signal = 1; signal < NSIG; ++signal) (void)sigaction(signal, &standard, nullptr);
    sigset_t all;
    sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, nullptr);
}

}  // namespace

std::size_t process_memory_bytes() { return sizeof(Memory); }

void run_guardian_process(const ProcessArguments& arguments) {
    detach_from_owner(arguments);
    GuardianProcess process(arguments);
    process.run();
    _exit(0);
}

}  // namespace vitrine::guardian
