// The guardian with a process and a monitor socket of the test's own: no virtual machine is needed.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "sources/guardian/guardian.h"
#include "sources/registers/capabilities.h"

namespace vitrine {
namespace {

using namespace std::chrono_literals;

bool wait_until(auto condition, std::chrono::milliseconds limit = 5s) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(1ms);
    }
    return true;
}

// A process of several threads that each count in memory shared with the test.
class Counting {
public:
    static constexpr int kThreads = 3;
    Counting() {
        counters_ = static_cast<std::atomic<std::uint64_t>*>(
            ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
        pid_ = ::fork();
        if (pid_ == 0) run();
        EXPECT_TRUE(wait_until([&] { return moves(); }));
    }
    ~Counting() {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        ::munmap(counters_, 4096);
    }
    Counting(const Counting&) = delete;
    Counting& operator=(const Counting&) = delete;

    [[nodiscard]] pid_t pid() const { return pid_; }
    // Does every thread go on?
    [[nodiscard]] bool moves() const {
        std::uint64_t before[kThreads];
        for (int i = 0; i < kThreads; ++i) before[i] = counters_[i];
        return wait_until(
            [&] {
                for (int i = 0; i < kThreads; ++i) {
                    if (counters_[i] == before[i]) return false;
                }
                return true;
            },
            1s);
    }
    [[nodiscard]] bool stands() const {
        std::uint64_t before[kThreads];
        for (int i = 0; i < kThreads; ++i) before[i] = counters_[i];
        std::this_thread::sleep_for(30ms);
        for (int i = 0; i < kThreads; ++i) {
            if (counters_[i] != before[i]) return false;
        }
        return true;
    }

private:
    [[noreturn]] void run() {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        std::vector<std::thread> threads;
        for (int i = 0; i < kThreads; ++i) {
            threads.emplace_back([this, i] {
                for (;;) {
                    ++counters_[i];
                    std::this_thread::sleep_for(100us);
                }
            });
        }
        for (;;) ::pause();
    }
    std::atomic<std::uint64_t>* counters_ = nullptr;
    pid_t pid_ = -1;
};

// Speaks as much QMP as the guardian needs.
class FakeMonitor {
public:
    explicit FakeMonitor(bool greets = true) : greets_(greets) {
        path_ =
            (std::filesystem::temp_directory_path() / ("vitrine-guardian-test-" + std::to_string(::getpid()))).string();
        ::unlink(path_.c_str());
        listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
        EXPECT_EQ(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
        EXPECT_EQ(::listen(listener_, 1), 0);
        server_ = std::thread([this] { serve(); });
    }
    ~FakeMonitor() {
        ending_ = true;
        server_.join();
        ::close(listener_);
        ::unlink(path_.c_str());
    }
    FakeMonitor(const FakeMonitor&) = delete;
    FakeMonitor& operator=(const FakeMonitor&) = delete;

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] std::string status() {
        const std::lock_guard lock(mutex_);
        return status_;
    }
    void set_status(std::string status) {
        const std::lock_guard lock(mutex_);
        status_ = std::move(status);
    }
    void set_migration(std::string status) {
        const std::lock_guard lock(mutex_);
        migration_ = std::move(status);
    }
    [[nodiscard]] std::vector<std::string> commands() {
        const std::lock_guard lock(mutex_);
        return commands_;
    }

private:
    void serve() {
        while (!ending_) {
            pollfd entry{listener_, POLLIN, 0};
            if (::poll(&entry, 1, 20) <= 0) continue;
            const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
            talk(client);
            ::close(client);
        }
    }
    void talk(int client) {
        static constexpr std::string_view kGreeting =
            R"({"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}}, "capabilities": []}})";
        // A client may have looked who we are and gone.
        if (greets_ && ::send(client, kGreeting.data(), kGreeting.size(), MSG_NOSIGNAL) < 0) return;
        std::string pending;
        while (!ending_) {
            pollfd entry{client, POLLIN, 0};
            if (::poll(&entry, 1, 20) <= 0) continue;
            char piece[4096];
            const ssize_t n = ::recv(client, piece, sizeof(piece), 0);
            if (n <= 0) return;
            pending.append(piece, static_cast<std::size_t>(n));
            for (std::size_t end = pending.find('\n'); end != std::string::npos; end = pending.find('\n')) {
                answer(client, pending.substr(0, end));
                pending.erase(0, end + 1);
            }
        }
    }
    void answer(int client, const std::string& line) {
        const std::lock_guard lock(mutex_);
        const std::size_t at = line.find("\"execute\":\"") + 11;
        const std::string command = line.substr(at, line.find('"', at) - at);
        if (command != "qmp_capabilities") commands_.push_back(command);
        if (command == "query-status") {
            say(client, R"({"timestamp": {"seconds": 1}, "event": "NICE", "data": {"return": 1}})");
            return say(client, R"({"return": {"status": ")" + status_ + R"(", "running": )" +
                                   (status_ == "running" ? "true" : "false") + "}}");
        }
        if (command == "query-migrate" && !migration_.empty())
            return say(client, R"({"return": {"ram": {"status": "none"}, "status": ")" + migration_ + R"("}})");
        if (command == "stop") status_ = "paused";
        if (command == "cont") status_ = "running";
        say(client,
            command == "nonsense" ? R"({"error": {"class": "CommandNotFound", "desc": "no"}})" : R"({"return": {}})");
    }
    static void say(int client, const std::string& text) {
        const std::string line = text + "\r\n";
        EXPECT_EQ(::send(client, line.data(), line.size(), MSG_NOSIGNAL), static_cast<ssize_t>(line.size()));
    }

    bool greets_;
    std::string path_;
    int listener_ = -1;
    std::thread server_;
    std::atomic<bool> ending_ = false;
    std::mutex mutex_;
    std::string status_ = "running";
    std::string migration_;  // empty: there was none
    std::vector<std::string> commands_;
};

TEST(Guardian, FreezesEveryThreadAndLetsGo) {
    const Counting target;
    Guardian guardian({target.pid(), "", 100ms, false});
    ASSERT_TRUE(guardian.pause_by_freeze());
    EXPECT_TRUE(target.stands());
    EXPECT_EQ(guardian.pause_by_freeze().error().code, Errc::usage);
    ASSERT_TRUE(guardian.resume());
    EXPECT_TRUE(target.moves());
    EXPECT_EQ(guardian.resume().error().code, Errc::usage);
}

TEST(Guardian, SignalsThatCameMeanwhileArrive) {
    const Counting target;
    {
        Guardian guardian({target.pid(), "", 100ms, false});
        ASSERT_TRUE(guardian.pause_by_freeze());
        ::kill(target.pid(), SIGTERM);
        EXPECT_TRUE(target.stands());
        EXPECT_EQ(::kill(target.pid(), 0), 0);
        ASSERT_TRUE(guardian.resume());
    }
    int status = 0;
    EXPECT_TRUE(wait_until([&] { return ::waitpid(target.pid(), &status, WNOHANG) == target.pid(); }));
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

TEST(Guardian, EndsWithItsOwner) {
    const Counting target;
    FakeMonitor monitor;
    int pipe_ends[2];
    ASSERT_EQ(::pipe(pipe_ends), 0);
    for (const bool by_qmp : {false, true}) {
        const pid_t owner = ::fork();
        if (owner == 0) {
            Guardian guardian({target.pid(), monitor.path(), 500ms, false});
            const bool paused = (by_qmp ? guardian.pause_by_qmp() : guardian.pause_by_freeze()).has_value();
            const pid_t answer = paused ? guardian.process_id() : -1;
            (void)!::write(pipe_ends[1], &answer, sizeof(answer));
            for (;;) ::pause();
        }
        pid_t guardian_pid = -1;
        ASSERT_EQ(::read(pipe_ends[0], &guardian_pid, sizeof(guardian_pid)),
                  static_cast<ssize_t>(sizeof(guardian_pid)));
        ASSERT_GT(guardian_pid, 0);
        EXPECT_TRUE(by_qmp ? monitor.status() == "paused" : target.stands());
        ::kill(guardian_pid, SIGTERM);  // not while it has something in hand
        ::kill(owner, SIGKILL);
        ::waitpid(owner, nullptr, 0);
        EXPECT_TRUE(wait_until([&] { return monitor.status() == "running"; }));
        EXPECT_TRUE(target.moves());
        EXPECT_TRUE(wait_until([&] {
            std::ifstream stat("/proc/" + std::to_string(guardian_pid) + "/stat");
            std::string text;
            return !std::getline(stat, text) || text.find(") Z ") != std::string::npos;
        }));
    }
    ::close(pipe_ends[0]);
    ::close(pipe_ends[1]);
}

TEST(Guardian, StopsAndContinuesByQmp) {
    const Counting target;
    FakeMonitor monitor;
    Guardian guardian({target.pid(), monitor.path(), 500ms, false});
    ASSERT_TRUE(guardian.pause_by_qmp());
    EXPECT_EQ(monitor.status(), "paused");
    EXPECT_TRUE(guardian.holds_qmp());
    const auto reply = guardian.qmp("{\"execute\":\"nonsense\"}\n");
    ASSERT_TRUE(reply);
    EXPECT_NE(reply->find("CommandNotFound"), std::string::npos);
    ASSERT_TRUE(guardian.resume());
    EXPECT_EQ(monitor.status(), "running");
    EXPECT_FALSE(guardian.holds_qmp());
}

TEST(Guardian, LeavesAPausedGuestPaused) {
    const Counting target;
    FakeMonitor monitor;
    monitor.set_status("paused");
    Guardian guardian({target.pid(), monitor.path(), 500ms, false});
    ASSERT_TRUE(guardian.pause_by_qmp());
    ASSERT_TRUE(guardian.resume());
    EXPECT_EQ(monitor.status(), "paused");
    EXPECT_EQ(monitor.commands(), std::vector<std::string>{"query-status"});
}

TEST(Guardian, DoesNotContinueWhatFailedMeanwhile) {
    const Counting target;
    FakeMonitor monitor;
    Guardian guardian({target.pid(), monitor.path(), 500ms, false});
    ASSERT_TRUE(guardian.pause_by_qmp());
    monitor.set_status("internal-error");
    ASSERT_TRUE(guardian.resume());
    EXPECT_EQ(monitor.status(), "internal-error");
}

// One that is stopped when it leaves arrives stopped.
TEST(Guardian, AGuestThatMigratesIsNotPaused) {
    const Counting target;
    FakeMonitor monitor;
    Guardian guardian({target.pid(), monitor.path(), 500ms, false});
    for (const char* state : {"setup", "active", "device", "pre-switchover", "wait-unplug", "postcopy-active", "colo",
                              "cancelling", "a state of years to come"}) {
        monitor.set_migration(state);
        const auto paused = guardian.pause_by_qmp();
        ASSERT_FALSE(paused) << state;
        EXPECT_NE(paused.error().to_string().find("migrated"), std::string::npos);
        EXPECT_FALSE(guardian.device_state());
        EXPECT_FALSE(guardian.holds_qmp());
    }
    // Nor by the other route: the threads that carry the memory over would stand still as well.
    const MonitorFacts facts{target.pid(), false, monitor.path(), {}, true};
    EXPECT_FALSE(make_pause_control(facts)->pause());
    EXPECT_TRUE(target.moves());
    for (const std::string& command : monitor.commands()) EXPECT_EQ(command.find("query-"), 0u) << command;
    for (const char* state : {"none", "completed", "failed", "cancelled"}) {
        monitor.set_migration(state);
        ASSERT_TRUE(guardian.pause_by_qmp()) << state;
        EXPECT_EQ(monitor.status(), "paused");
        ASSERT_TRUE(guardian.resume());
    }
}

TEST(Guardian, AnotherProcessOnTheSocketIsNotTalkedTo) {
    const Counting target;
    FakeMonitor monitor;  // this process listens
    Guardian guardian({target.pid(), monitor.path(), 500ms, false, target.pid()});
    const auto paused = guardian.pause_by_qmp();
    ASSERT_FALSE(paused);
    EXPECT_NE(paused.error().to_string().find("does not belong"), std::string::npos);
    EXPECT_TRUE(monitor.commands().empty());
    Guardian right({target.pid(), monitor.path(), 500ms, false, ::getpid()});
    ASSERT_TRUE(right.pause_by_qmp());
    ASSERT_TRUE(right.resume());
}

TEST(Guardian, AMonitorThatDoesNotGreetIsBusy) {
    const Counting target;
    FakeMonitor monitor(false);
    Guardian guardian({target.pid(), monitor.path(), 100ms, false});
    EXPECT_EQ(guardian.pause_by_qmp().error().code, Errc::busy);
}

TEST(Guardian, TheOwnerContinuesWhatAKilledGuardianLeftPaused) {
    const Counting target;
    FakeMonitor monitor;
    Guardian guardian({target.pid(), monitor.path(), 500ms, false});
    ASSERT_TRUE(guardian.pause_by_qmp());
    ::kill(guardian.process_id(), SIGKILL);
    EXPECT_TRUE(guardian.resume());
    EXPECT_TRUE(wait_until([&] { return monitor.status() == "running"; }));
}

TEST(Guardian, AKilledGuardianFreezesNothing) {
    const Counting target;
    Guardian guardian({target.pid(), "", 100ms, false});
    ASSERT_TRUE(guardian.pause_by_freeze());
    ::kill(guardian.process_id(), SIGKILL);
    EXPECT_TRUE(target.moves());
}

TEST(Guardian, AnEndedProcessIsStale) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(0);
    Guardian guardian({child, "", 100ms, false});  // while the pid is still the child's
    ::waitpid(child, nullptr, 0);
    EXPECT_EQ(guardian.pause_by_freeze().error().code, Errc::stale);
    Guardian nobody({child, "", 100ms, false});
    EXPECT_EQ(nobody.pause_by_freeze().error().code, Errc::stale);
}

TEST(PauseControl, Nests) {
    const Counting target;
    FakeMonitor monitor;
    const MonitorFacts facts{target.pid(), false, monitor.path(), {}, true};
    const auto pausing = make_pause_control(facts);
    ASSERT_TRUE(pausing->pause());
    ASSERT_TRUE(pausing->pause());
    ASSERT_TRUE(pausing->resume());
    EXPECT_EQ(monitor.status(), "paused");
    ASSERT_TRUE(pausing->resume());
    EXPECT_EQ(monitor.status(), "running");
    EXPECT_EQ(pausing->resume().error().code, Errc::usage);
    EXPECT_EQ(pausing->route(), "QMP stop");
}

TEST(PauseControl, FreezesWhereThereIsNoSocket) {
    const Counting target;
    FakeMonitor monitor;
    MonitorFacts facts{target.pid(), false, monitor.path(), {}, true};
    facts.options.use_qmp = false;
    {
        const auto pausing = make_pause_control(facts);
        ASSERT_TRUE(pausing->pause());
        EXPECT_TRUE(target.stands());
        EXPECT_NE(pausing->route(), "QMP stop");
    }  // ends the pause
    EXPECT_TRUE(target.moves());
    EXPECT_TRUE(monitor.commands().empty());
}

TEST(Registers, NoRouteIsNull) {
    MonitorFacts facts{::getpid(), false, "", {}, true};
    EXPECT_EQ(make_registers(facts), nullptr);
    facts.is_kvm = true;
    EXPECT_NE(make_registers(facts), nullptr);
    facts.options.use_injection = false;
    EXPECT_EQ(make_registers(facts), nullptr);
    facts.qmp_socket = "/nowhere";
    EXPECT_NE(make_registers(facts), nullptr);
    facts.options.use_qmp = false;
    EXPECT_EQ(make_registers(facts), nullptr);
}

}  // namespace
}  // namespace vitrine
