// What may be given, and "did you mean ...?"
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace vitrine::cli {

// The candidate that differs least from the word by insertions, deletions, replacements and swaps of neighbours; "" if none
// is near enough to be meant.
[[nodiscard]] std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

// Is the value one of the choices, "table|csv|json"?
[[nodiscard]] bool is_choice(std::string_view choices, std::string_view value);

}  // namespace vitrine::cli
