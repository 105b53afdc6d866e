#include "vitrine/base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <utility>

namespace vitrine {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct Decoded {
    std::uint32_t code_point = 0;
    std::size_t length = 0;  // 0: the first byte is not the start of valid UTF-8
};

// Strict decoding (Unicode 15, table 3-7): no overlong forms, no surrogates, nothing above U+10FFFF.
Decoded decode(std::string_view s) {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(s[i]); };
    const std::uint8_t lead = byte(0);
    if (lead < 0x80) return {lead, 1};
    std::size_t length = 0;
    std::uint32_t value = 0;
    if (lead >= 0xc2 && lead <= 0xdf) {
        length = 2;
        value = lead & 0x1fu;
    } else if (lead >= 0xe0 && lead <= 0xef) {
        length = 3;
        value = lead & 0x0fu;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
        length = 4;
        value = lead & 0x07u;
    } else return {};
    if (s.size() < length) return {};
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0) != 0x80) return {};
        value = value << 6 | (byte(i) & 0x3fu);
    }
    if (length == 3 && (value < 0x800 || (value >= 0xd800 && value <= 0xdfff))) return {};
    if (length == 4 && (value < 0x10000 || value > 0x10ffff)) return {};
    return {value, length};
}

// Characters that change how other text is shown: bidirectional controls, line and paragraph separators, zero-width
// no-break space, tag characters.
bool is_deceptive(std::uint32_t c) {
    return (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
           c == 0xfeff || c == 0x061c || (c >= 0xe0000 && c <= 0xe007f);
}

bool is_zero_width(std::uint32_t c) {
    return (c >= 0x0300 && c <= 0x036f) || (c >= 0x200b && c <= 0x200f) || (c >= 0xfe00 && c <= 0xfe0f) ||
           (c >= 0x20d0 && c <= 0x20ff) || c == 0xfeff;
}

// East Asian Wide and Fullwidth blocks (Unicode Standard Annex 11), coarse.
bool is_wide(std::uint32_t c) {
    static constexpr auto kWide = std::to_array<std::pair<std::uint32_t, std::uint32_t>>({{0x1100, 0x115f},
                                                                                          {0x2e80, 0x303e},
                                                                                          {0x3041, 0x33ff},
                                                                                          {0x3400, 0x4dbf},
                                                                                          {0x4e00, 0x9fff},
                                                                                          {0xa000, 0xa4cf},
                                                                                          {0xac00, 0xd7a3},
                                                                                          {0xf900, 0xfaff},
                                                                                          {0xfe30, 0xfe6f},
                                                                                          {0xff00, 0xff60},
                                                                                          {0xffe0, 0xffe6},
                                                                                          {0x1f300, 0x1f64f},
                                                                                          {0x1f900, 0x1f9ff},
                                                                                          {0x20000, 0x3fffd}});
    for (const auto& [first, last] : kWide) {
        if (c >= first && c <= last) return true;
    }
    return false;
}

std::size_t char_width(std::uint32_t c) {
    if (c < 0x300) return 1;
    if (is_zero_width(c)) return 0;
    return is_wide(c) ? 2 : 1;
}

// How many of the first bytes are characters of ASCII that can be shown: most text is nothing else.
std::size_t plain_prefix(std::string_view bytes) {
    const auto end = std::find_if(bytes.begin(), bytes.end(), [](char c) {
        const auto byte = static_cast<std::uint8_t>(c);
        return byte < 0x20 || byte >= 0x7f;
    });
    return static_cast<std::size_t>(end - bytes.begin());
}

}  // namespace

namespace {

void append_utf8(std::string& text, std::uint32_t c) {
    const auto put = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
    if (c < 0x80) return put(c);
    if (c < 0x800) {
        put(0xc0 | c >> 6);
    } else if (c < 0x10000) {
        put(0xe0 | c >> 12);
        put(0x80 | (c >> 6 & 0x3f));
    } else {
        put(0xf0 | c >> 18);
        put(0x80 | (c >> 12 & 0x3f));
        put(0x80 | (c >> 6 & 0x3f));
    }
    put(0x80 | (c & 0x3f));
}

}  // namespace

std::string utf16_to_utf8(std::string_view bytes) {
    const std::size_t units = bytes.size() / 2;
    const auto unit = [&](std::size_t i) -> std::uint32_t {
        return static_cast<std::uint8_t>(bytes[2 * i]) |
               static_cast<std::uint32_t>(static_cast<std::uint8_t>(bytes[2 * i + 1])) << 8;
    };
    std::string text;
    for (std::size_t i = 0; i < units; ++i) {
        const std::uint32_t first = unit(i);
        const bool is_surrogate = first >= 0xd800 && first <= 0xdfff;
        const std::uint32_t second = i + 1 < units ? unit(i + 1) : 0;
        if (first <= 0xdbff && is_surrogate && second >= 0xdc00 && second <= 0xdfff) {
            append_utf8(text, 0x10000 + ((first & 0x3ff) << 10) + (second & 0x3ff));
            ++i;
        } else {
            append_utf8(text, is_surrogate ? 0xfffd : first);
        }
    }
    return text;
}

std::string to_valid_utf8(std::string_view bytes) {
    std::string out;
    out.reserve(bytes.size());
    while (true) {
        const std::size_t plain = plain_prefix(bytes);
        out += bytes.substr(0, plain);
        bytes.remove_prefix(plain);
        if (bytes.empty()) break;
        const Decoded d = decode(bytes);
        if (d.length == 0) {
            out += kReplacement;
            bytes.remove_prefix(1);
            continue;
        }
        out += bytes.substr(0, d.length);
        bytes.remove_prefix(d.length);
    }
    return out;
}

std::string to_terminal_text(std::string_view bytes) {
    std::string out;
    out.reserve(bytes.size());
    while (true) {
        const std::size_t plain = plain_prefix(bytes);
        out += bytes.substr(0, plain);
        bytes.remove_prefix(plain);
        if (bytes.empty()) break;
        const Decoded d = decode(bytes);
        if (d.length == 0) {
            out += kReplacement;
            bytes.remove_prefix(1);
            continue;
        }
        const std::uint32_t c = d.code_point;
        if (c == '\n') out += "\\n";
        else if (c == '\t') out += "\\t";
        else if (c == '\r') out += "\\r";
        else if (c < 0x20 || (c >= 0x7f && c <= 0x9f)) fmt::format_to(std::back_inserter(out), "\\x{:02x}", c);
        else if (is_deceptive(c)) fmt::format_to(std::back_inserter(out), "\\u{:04x}", c);
        else out += bytes.substr(0, d.length);
        bytes.remove_prefix(d.length);
    }
    return out;
}

std::size_t display_width(std::string_view utf8) {
    std::size_t width = 0;
    while (true) {
        const std::size_t plain = plain_prefix(utf8);
        width += plain;
        utf8.remove_prefix(plain);
        if (utf8.empty()) break;
        const Decoded d = decode(utf8);
        const std::size_t step = d.length == 0 ? 1 : d.length;
        width += char_width(d.code_point);
        utf8.remove_prefix(step);
    }
    return width;
}

std::string_view fit_width(std::string_view utf8, std::size_t columns) {
    std::size_t used = 0;
    std::size_t at = 0;
    while (at < utf8.size()) {
        const Decoded d = decode(utf8.substr(at));
        const std::size_t step = d.length == 0 ? 1 : d.length;
        const std::size_t width = char_width(d.code_point);
        if (used + width > columns) break;
        used += width;
        at += step;
    }
    return utf8.substr(0, at);
}

}  // namespace vitrine
