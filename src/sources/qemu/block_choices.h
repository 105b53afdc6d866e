// Which mapping of the monitor holds which block of the guest's memory, where several would fit: the ways to choose.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace vitrine {

constexpr std::size_t kMaxLayouts = 24;

struct Candidate {
    std::uint64_t start = 0;
    bool is_file = false;
    friend bool operator==(const Candidate&, const Candidate&) = default;
};

struct BlockChoices {
    std::vector<std::vector<Candidate>> all;  // each: one candidate for each block
    bool truncated = false;                   // there are more
};

// Every way to give each block a mapping of its own, likeliest first, at most kMaxLayouts.
// candidates: of each block, likeliest first. made: the place of each block in the order in which they were made.
[[nodiscard]] BlockChoices choose_mappings(const std::vector<std::vector<Candidate>>& candidates,
                                           const std::vector<std::size_t>& made);

// A kernel that proves itself proves where the block is that holds it: its page tables name physical addresses of its own image.
// It proves nothing about blocks of one size elsewhere, so two choices that agree about some block and differ about others
// may both pass.
[[nodiscard]] bool may_be_confused(const BlockChoices& choices);

}  // namespace vitrine
