// The memory layouts that an attach tries, one after the other. A kernel that is refused in one of them may tell a better one.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "vitrine/memory/ram_store.h"

namespace vitrine::linux_os {

class CandidateLayouts {
public:
    explicit CandidateLayouts(std::span<const MemoryLayout> layouts) : layouts_(layouts.begin(), layouts.end()) {}

    void restart() { current_ = 0; }
    void advance() { ++current_; }
    [[nodiscard]] bool has_current() const { return current_ < layouts_.size(); }
    // Valid until propose().
    [[nodiscard]] const MemoryLayout& current() const { return layouts_[current_]; }

    // Has this layout tried after the current one. False: it was tried since restart(), or too many were proposed.
    bool propose(MemoryLayout layout);

private:
    std::vector<MemoryLayout> layouts_;
    std::size_t current_ = 0;
    std::size_t proposed_ = 0;
};

}  // namespace vitrine::linux_os
