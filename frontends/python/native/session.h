// Guests that are asked together, the database over them, and the lock that makes both usable from several Python threads.
#pragma once

#include <pybind11/pybind11.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
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

class Session {
public:
    struct Member {
        std::string name;  // the value of vm
        std::string target;
        std::unique_ptr<Guest> guest;
    };

    // Attaches to all of them, or throws what the first one failed with.
    Session(const std::vector<std::string>& targets, const Settings& settings);
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    // While it lives the thread has the guests for itself and does not hold the interpreter's lock.
    class Use {
    public:
        // Throws usage when the session is closed, or when a signal handler asks amid a query of its own thread.
        explicit Use(Session& session);
        ~Use();
        Use(const Use&) = delete;
        Use& operator=(const Use&) = delete;

    private:
        Session& session_;
        std::optional<py::gil_scoped_release> without_interpreter_;
        std::unique_lock<std::timed_mutex> lock_;
    };

    // Only with a Use in scope.
    [[nodiscard]] Database& database() { return *database_; }
    [[nodiscard]] std::vector<Member>& members() { return members_; }
    // A guest whose memory is looked at once more: it may have run on.
    Guest& fresh_guest(std::size_t member);

    [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
    [[nodiscard]] const std::vector<std::string>& targets() const { return targets_; }
    [[nodiscard]] bool is_closed() const { return closed_; }

    void pause();   // nests
    void resume();  // throws when a guest could not be continued
    void close();
    void interrupt();  // from any thread, at any time

private:
    void lock(std::unique_lock<std::timed_mutex>& lock);
    Result<void> resume_guests();

    std::vector<std::string> names_, targets_;
    std::vector<Member> members_;
    std::unique_ptr<Database> database_;  // ends before the guests
    std::vector<PauseControl*> paused_;
    unsigned pauses_ = 0;
    std::atomic<bool> closed_ = false;
    std::timed_mutex mutex_;
    std::atomic<std::thread::id> owner_{};
    std::mutex database_mutex_;  // of the pointer, for interrupt()
};

}  // namespace vitrine::python
