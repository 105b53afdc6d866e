// The bytes every token table contains: the digits as tokens of their own ("0\0" "1\0" ... "9\0"). Digits occur in symbol
// names, so scripts/kallsyms.c never gives their codes to a longer token.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

namespace vitrine::kallsyms {

inline constexpr std::size_t kAnchorLength = 20;

// The first anchor at or after `from`.
[[nodiscard]] std::optional<std::size_t> find_anchor(std::span<const std::byte> region, std::size_t from);

}  // namespace vitrine::kallsyms
