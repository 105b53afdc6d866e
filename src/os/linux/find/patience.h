// How long candidates that come to nothing are followed. A guest can forge any number of them; without a bound it could keep us busy for as
// long as it likes.
#pragma once

#include <ctime>

#include <chrono>

namespace vitrine::linux_os {

class Patience {
public:
    explicit Patience(std::chrono::milliseconds most) : left_(most) {}
    Patience(const Patience&) = delete;
    Patience& operator=(const Patience&) = delete;
    [[nodiscard]] bool is_exhausted() const { return left_.count() <= 0; }

    // While it lives, this thread's CPU time counts: waiting for a disk or for a busy host does not.
    class Spending {
    public:
        explicit Spending(Patience& patience) : patience_(patience) {}
        Spending(const Spending&) = delete;
        Spending& operator=(const Spending&) = delete;
        ~Spending() { patience_.left_ -= now() - begin_; }

    private:
        Patience& patience_;
        std::chrono::nanoseconds begin_ = now();
    };

private:
    static std::chrono::nanoseconds now() {
        timespec time{};
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
        return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
    }
    std::chrono::nanoseconds left_;
};

}  // namespace vitrine::linux_os
