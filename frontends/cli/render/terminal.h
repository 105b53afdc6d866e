// What is known of the terminal, if there is one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace vitrine::cli {

enum class ColorMode : std::uint8_t { automatic, always, never };

[[nodiscard]] bool is_terminal(int fd);
// Columns of the terminal behind fd; nullopt when it is none.
[[nodiscard]] std::optional<std::size_t> terminal_width(int fd);
[[nodiscard]] bool use_color(ColorMode mode, int fd);
// Does the environment's locale use UTF-8?
[[nodiscard]] bool locale_is_utf8();

}  // namespace vitrine::cli
