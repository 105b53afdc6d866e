// Names files that are not raw memory and not ELF, by their first bytes, and says what can be done with them.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace vitrine {

struct KnownFormat {
    std::string_view name;  // "a gzip-compressed file"
    std::string_view hint;  // what turns it into something readable
};

inline constexpr std::size_t kFormatHeadSize = 64;

// head: the first kFormatHeadSize bytes of the file, or all if it has less.
[[nodiscard]] std::optional<KnownFormat> known_format(std::span<const std::byte> head);

}  // namespace vitrine
