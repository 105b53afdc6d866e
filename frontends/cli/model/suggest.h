// "Did you mean ...?"
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace vitrine::cli {

// The candidate that differs least from the word by insertions, deletions, replacements and swaps of neighbours; "" if none
// is near enough to be meant.
[[nodiscard]] std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace vitrine::cli
