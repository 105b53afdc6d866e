// How long candidates that come to nothing are followed. A guest can forge any number of them; without a bound it could keep us busy for as
// long as it likes.
#pragma once

#include <ctime>

#include <chrono>

namespace vitrine::linux_os {

class Patience {
public:
    // whole: what is spent here is spent there too, and nothing is left here when nothing is left there.
    explicit Patience(std::chrono::milliseconds most, Patience* whole = nullptr)
        : most_(most), left_(most), whole_(whole) {}
    Patience(const Patience&) = delete;
    Patience& operator=(const Patience&) = delete;
    [[nodiscard]] std::chrono::milliseconds most() const { return most_; }
    [[nodiscard]] bool is_exhausted() const {
        const auto running = depth_ != 0 ? now() - since_ : std::chrono::nanoseconds{};
        return left_ <= running || (whole_ != nullptr && whole_->is_exhausted());
    }

    // While it lives, this thread's CPU time counts: waiting for a disk or for a busy host does not.
    class Spending {
    public:
        explicit Spending(Patience& patience) : patience_(patience) { patience_.begin(); }
        Spending(const Spending&) = delete;
        Spending& operator=(const Spending&) = delete;
        ~Spending() { patience_.end(); }

    private:
        Patience& patience_;
    };

private:
    void begin() {
        if (depth_++ == 0) since_ = now();
        if (whole_ != nullptr) whole_->begin();
    }
    void end() {
        if (--depth_ == 0) left_ -= now() - since_;
        if (whole_ != nullptr) whole_->end();
    }
    static std::chrono::nanoseconds now() {
        timespec time{};
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
        return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
    }
    std::chrono::milliseconds most_;
    std::chrono::nanoseconds left_;
    std::chrono::nanoseconds since_{};
    unsigned depth_ = 0;
    Patience* whole_;
};

}  // namespace vitrine::linux_os
