// Guests that are asked together, the database over them, and the lock that makes both usable from several Python threads.
#pragma once

#include <pybind11/pybind11.h>
#include <sys/types.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "convert.h"
#include "vitrine/guest/guest.h"
#include "vitrine/query/database.h"

namespace vitrine::python {

struct Settings {
    bool use_qmp = true;
    bool use_registers = true;
    bool use_cache = true;
    std::string cache_directory;
    std::optional<std::string> vmlinux;
};

// The interpreter's lock is let go of while it lives. Threads that wait for the lock when the interpreter ends are unwound by force, which
// no destructor here survives: vitrine/_guest.py waits until there are none.
class WithoutInterpreter {
public:
    WithoutInterpreter() = default;
    WithoutInterpreter(const WithoutInterpreter&) = delete;
    WithoutInterpreter& operator=(const WithoutInterpreter&) = delete;
    ~WithoutInterpreter() = default;
    [[nodiscard]] static int count() { return Counted::count.load(); }
    // In a forked child, which has none of those threads.
    static void forget() {
        ++Counted::forks;
        Counted::count = 0;
    }

private:
    struct Counted {
        static inline std::atomic<int> count = 0;
        static inline std::atomic<unsigned> forks = 0;
        Counted() { ++count; }
        Counted(const Counted&) = delete;
        Counted& operator=(const Counted&) = delete;
        ~Counted() {
            if (counted_in_ == forks) --count;
        }

    private:
        const unsigned counted_in_ = forks;
    };
    Counted counted_;  // until the lock is had again
    py::gil_scoped_release released_;
};

class Session {
public:
    struct Member {
        std::string name;  // the value of vm
        std::string target;
        std::unique_ptr<Guest> guest;
    };

    // Attaches to all of them, or throws what the first one failed with.
    Session(const std::vector<std::string>& targets, const Settings& settings);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    enum class Purpose {
        ask,
        close
    };  // close: statements of other threads are ended, and that it is closed is no error

    // While it lives the thread has the guests for itself and does not hold the interpreter's lock.
    class Use {
    public:
        // Throws Closed; usage when a signal handler asks amid a query of its own thread, or a forked child asks at all.
        explicit Use(Session& session, Purpose purpose = Purpose::ask);
        ~Use();
        Use(const Use&) = delete;
        Use& operator=(const Use&) = delete;

    private:
        Session& session_;
        std::optional<WithoutInterpreter> without_interpreter_;
        std::unique_lock<std::timed_mutex> lock_;
    };

    // Only with a Use in scope.
    [[nodiscard]] std::vector<Member>& members() { return members_; }
    // A guest whose memory is looked at once more: it may have run on.
    Guest& fresh_guest(std::size_t member);

    [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
    [[nodiscard]] const std::vector<std::string>& targets() const { return targets_; }
    [[nodiscard]] bool is_closed() const { return closed_; }

    void pause();   // nests
    void resume();  // throws when a guest could not be continued
    void close();
    void interrupt();  // from any thread, at any time: ends the statement that runs, and no later one

    // While it lives an interrupt ends the statement that ask() runs, or will.
    class Announced {
    public:
        explicit Announced(Session& session);
        ~Announced();
        Announced(const Announced&) = delete;
        Announced& operator=(const Announced&) = delete;

    private:
        Session& session_;
    };
    // One statement; with a Use and an Announced in scope, in whatever thread.
    Result<QueryReport> ask(std::string_view sql, std::span<const Value> parameters, const QueryLimits& limits,
                            ResultSink& sink);

private:
    void lock(std::unique_lock<std::timed_mutex>& lock, Purpose purpose);
    [[nodiscard]] bool is_own_process() const;
    Result<void> resume_guests();

    std::vector<std::string> names_, targets_;
    std::vector<Member> members_;
    std::unique_ptr<Database> database_;  // ends before the guests
    std::vector<PauseControl*> paused_;
    unsigned pauses_ = 0;
    std::atomic<bool> closed_ = false;
    std::timed_mutex mutex_;
    std::atomic<std::thread::id> owner_{};
    // What a forked child has of it is a copy, with the descriptors and without the threads: it lets go of nothing.
    const pid_t process_;
    std::mutex interrupt_mutex_;
    bool asking_ = false, interrupted_ = false;  // under interrupt_mutex_
};

}  // namespace vitrine::python
