// One step of an attach: how long it took, and with what outcome.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "vitrine/guest/guest.h"

namespace vitrine::linux_os {

class StepTimer {
public:
    StepTimer(std::vector<AttachStep>& steps, std::string name) : steps_(steps), name_(std::move(name)) {}
    void done(std::string outcome) {
        const auto took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() -
                                                                                begin_);
        steps_.push_back({std::move(name_), took, std::move(outcome)});
    }

private:
    std::vector<AttachStep>& steps_;
    std::string name_;
    std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace vitrine::linux_os
