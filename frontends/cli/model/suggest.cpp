#include "model/suggest.h"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace vitrine::cli {
namespace {

// Optimal string alignment distance. Words are cut at kLongest characters: the quadratic cost stays small.
constexpr std::size_t kLongest = 64;

std::size_t distance(std::string_view a, std::string_view b) {
    a = a.substr(0, kLongest);
    b = b.substr(0, kLongest);
    const std::size_t width = b.size() + 1;
    std::vector<std::size_t> grid((a.size() + 1) * width);
    const auto at = [&](std::size_t i, std::size_t j) -> std::size_t& { return grid[i * width + j]; };
    for (std::size_t i = 0; i <= a.size(); ++i) at(i, 0) = i;
    for (std::size_t j = 0; j <= b.size(); ++j) at(0, j) = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
            at(i, j) = std::min({at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + change});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                at(i, j) = std::min(at(i, j), at(i - 2, j - 2) + 1);
            }
        }
    }
    return at(a.size(), b.size());
}

}  // namespace

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
    std::string_view best;
    std::size_t best_distance = kLongest;
    for (const std::string_view candidate : candidates) {
        const std::size_t d = distance(word, candidate);
        const std::size_t near = std::max<std::size_t>(1, std::min(word.size(), candidate.size()) / 3);
        if (d <= near && d < best_distance) {
            best = candidate;
            best_distance = d;
        }
    }
    return best;
}

bool is_choice(std::string_view choices, std::string_view value) {
    while (!choices.empty()) {
        const auto bar = std::min(choices.find('|'), choices.size());
        if (choices.substr(0, bar) == value) return true;
        choices.remove_prefix(std::min(bar + 1, choices.size()));
    }
    return false;
}

}  // namespace vitrine::cli
