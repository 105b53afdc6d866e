// Every walk over guest data is bounded and says how it ended.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace vitrine {

enum class WalkEnd : std::uint8_t {
    complete,      // reached the structure's own end
    stopped,       // the visitor asked to stop
    cycle,         // came back to a node that is not the head
    budget,        // more nodes, or more time, than allowed
    fault,         // a node could not be read
    inconsistent,  // back-links disagreed, also after retries (torn by a running guest, or tampered with)
};

[[nodiscard]] std::string_view to_string(WalkEnd);

struct WalkBudget {
    std::size_t nodes = 1u << 20;
    std::chrono::milliseconds time{10'000};
};

// How a walk went: the end, the nodes delivered, and how often it was begun anew because it was torn.
struct WalkReport {
    WalkEnd end = WalkEnd::complete;
    std::size_t nodes = 0;
    unsigned retries = 0;
    std::uint64_t last_address = 0;  // the node where the walk ended when it is not complete
};

// Stops clocks from being read at every node: check(n) looks at the clock each 256 calls.
class Deadline {
public:
    explicit Deadline(std::chrono::milliseconds time) : end_(std::chrono::steady_clock::now() + time) {}
    [[nodiscard]] bool passed() {
        if ((++calls_ & 0xff) != 0) return passed_;
        return passed_now();
    }
    [[nodiscard]] bool passed_now() {
        passed_ = passed_ || std::chrono::steady_clock::now() >= end_;
        return passed_;
    }

private:
    std::chrono::steady_clock::time_point end_;
    unsigned calls_ = 0;
    bool passed_ = false;
};

}  // namespace vitrine
