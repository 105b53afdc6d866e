// Text from a guest is hostile: invalid UTF-8, control characters, terminal escape sequences. It is kept as bytes
// inside the program and cleaned at the edge of each output format.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace vitrine {

// Valid UTF-8 stays; each byte that is not part of valid UTF-8 becomes U+FFFD. Control characters are kept:
// JSON escapes them itself.
[[nodiscard]] std::string to_valid_utf8(std::string_view bytes);

// What may be written to a terminal: as to_valid_utf8, and C0/C1 controls, DEL, and Unicode bidirectional and
// line-separator controls become visible escapes (\n, \t, \x1b, \u202e).
[[nodiscard]] std::string to_terminal_text(std::string_view bytes);

// UTF-16, little-endian, as Windows keeps names. Unpaired surrogates become U+FFFD; an odd last byte is left out; NULs are kept.
[[nodiscard]] std::string utf16_to_utf8(std::string_view bytes);

// Columns that the text takes on a terminal (wide and zero-width characters counted); text must be valid UTF-8.
[[nodiscard]] std::size_t display_width(std::string_view utf8);

// The longest prefix of at most `columns` display columns, cut at a character boundary.
[[nodiscard]] std::string_view fit_width(std::string_view utf8, std::size_t columns);

}  // namespace vitrine
