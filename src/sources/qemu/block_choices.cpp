#include "sources/qemu/block_choices.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace vitrine {
namespace {

class Assignments {
public:
    // order: blocks by when they were made. They take candidates in the order in which those were mapped.
    Assignments(const std::vector<std::vector<Candidate>>& candidates, std::vector<std::size_t> order)
        : candidates_(candidates), order_(std::move(order)), chosen_(order_.size()) {
        choose(0);
        if (truncated_) put_rotations_first();
    }
    [[nodiscard]] BlockChoices take() { return {std::move(found_), truncated_}; }

private:
    void choose(std::size_t depth) {
        if (truncated_) return;
        if (depth == order_.size()) {
            truncated_ = found_.size() == kMaxLayouts;
            if (!truncated_) found_.push_back(chosen_);
            return;
        }
        // Bounds the search where most choices end in nothing.
        if (++steps_ > 100'000) truncated_ = true;
        for (const Candidate& c : candidates_[order_[depth]]) {
            const auto used_end = order_.begin() + static_cast<std::ptrdiff_t>(depth);
            const bool used = std::any_of(order_.begin(), used_end, [&](std::size_t i) { return chosen_[i] == c; });
            if (used) continue;
            chosen_[order_[depth]] = c;
            choose(depth + 1);
        }
    }

    // Not all can be tried, and those that were found differ only in the blocks that were made last. Where the kernel's own block is right
    // the kernel tells of the others (os/linux/find/block_order.h): so each block is put into each of its places once.
    void put_rotations_first() {
        std::size_t most = 0;
        for (const auto& places : candidates_) most = std::max(most, places.size());
        std::vector<std::vector<Candidate>> ordered;
        const auto add = [&](const std::vector<Candidate>& choice) {
            const bool known = std::find(ordered.begin(), ordered.end(), choice) != ordered.end();
            if (!known && ordered.size() < kMaxLayouts) ordered.push_back(choice);
        };
        for (std::size_t by = 0; by < most && ordered.size() < kMaxLayouts; ++by) {
            if (const auto choice = rotated(by)) add(*choice);
        }
        for (const auto& choice : found_) add(choice);
        found_ = std::move(ordered);
    }

    // The n-th block of those with the same candidates takes the candidate `by` behind the n-th.
    [[nodiscard]] std::optional<std::vector<Candidate>> rotated(std::size_t by) const {
        std::vector<Candidate> choice(order_.size());
        for (std::size_t at = 0; at < order_.size(); ++at) {
            const auto& places = candidates_[order_[at]];
            if (places.empty()) return std::nullopt;
            const auto here = order_.begin() + static_cast<std::ptrdiff_t>(at);
            const auto before = static_cast<std::size_t>(
                std::count_if(order_.begin(), here, [&](std::size_t i) { return candidates_[i] == places; }));
            const Candidate& chosen = places[(before + by) % places.size()];
            if (std::any_of(order_.begin(), here, [&](std::size_t i) { return choice[i] == chosen; }))
                return std::nullopt;
            choice[order_[at]] = chosen;
        }
        return choice;
    }

    const std::vector<std::vector<Candidate>>& candidates_;
    std::vector<std::size_t> order_;
    std::vector<Candidate> chosen_;
    std::vector<std::vector<Candidate>> found_;
    std::size_t steps_ = 0;
    bool truncated_ = false;
};

}  // namespace

BlockChoices choose_mappings(const std::vector<std::vector<Candidate>>& candidates,
                             const std::vector<std::size_t>& made) {
    std::vector<std::size_t> order(candidates.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return made[a] < made[b]; });
    return Assignments(candidates, std::move(order)).take();
}

bool may_be_confused(const BlockChoices& found) {
    const auto& choices = found.all;
    // Of many, those that were kept may differ in every block (see put_rotations_first()).
    if (found.truncated && !choices.empty() && choices.front().size() > 1) return true;
    for (std::size_t a = 0; a < choices.size(); ++a) {
        for (std::size_t b = 0; b < a; ++b) {
            std::size_t agree = 0;
            for (std::size_t i = 0; i < choices[a].size(); ++i) agree += choices[a][i] == choices[b][i] ? 1u : 0u;
            if (agree != 0 && agree != choices[a].size()) return true;
        }
    }
    return false;
}

}  // namespace vitrine
