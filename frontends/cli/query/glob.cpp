#include "query/glob.h"

#include <optional>

namespace vitrine::cli {
namespace {

// Matches one pattern element against a byte; advances `at` past the element.
bool match_one(std::string_view pattern, std::size_t& at, char c) {
    if (pattern[at] == '?') {
        ++at;
        return true;
    }
    if (pattern[at] == '\\' && at + 1 < pattern.size()) {
        at += 2;
        return pattern[at - 1] == c;
    }
    const std::size_t close = pattern[at] == '[' ? pattern.find(']', at + 2) : std::string_view::npos;
    if (close == std::string_view::npos) return pattern[at++] == c;
    const bool negated = pattern[at + 1] == '!' || pattern[at + 1] == '^';
    const auto byte = [](char b) { return static_cast<unsigned char>(b); };
    bool found = false;
    for (std::size_t i = at + (negated ? 2 : 1); i < close; ++i) {
        if (i + 2 < close && pattern[i + 1] == '-') {
            found = found || (byte(pattern[i]) <= byte(c) && byte(c) <= byte(pattern[i + 2]));
            i += 2;
        } else {
            found = found || pattern[i] == c;
        }
    }
    at = close + 1;
    return found != negated;
}

}  // namespace

bool glob_match(std::string_view pattern, std::string_view text) {
    std::size_t p = 0;
    std::size_t t = 0;
    std::optional<std::size_t> star;  // after the last *: only that one is ever tried anew
    std::size_t star_text = 0;
    while (t < text.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = ++p;
            star_text = t;
            continue;
        }
        if (p < pattern.size() && match_one(pattern, p, text[t])) {
            ++t;
            continue;
        }
        if (!star) return false;
        p = *star;
        t = ++star_text;
    }
    while (p < pattern.size() && pattern[p] == '*') ++p;
    return p == pattern.size();
}

}  // namespace vitrine::cli
