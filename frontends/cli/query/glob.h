// Shell patterns over bytes.
#pragma once

#include <string_view>

namespace vitrine::cli {

// * any text, ? one byte, [a-z] and [!a-z] one byte of a set, \ takes away a meaning. The time is bounded by text times pattern,
// whatever the text: a guest chooses it.
[[nodiscard]] bool glob_match(std::string_view pattern, std::string_view text);

}  // namespace vitrine::cli
