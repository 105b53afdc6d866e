#include "render/wrap.h"

#include <algorithm>

#include "vitrine/base/text.h"

namespace vitrine::cli {
namespace {

// Bytes of the text that go on a line of `room` columns; never 0, for a text that is not empty.
std::size_t line_length(std::string_view text, std::size_t room) {
    if (text.size() <= room || display_width(text) <= room) return text.size();
    const std::size_t most = fit_width(text, room).size();
    if (most == 0) return text.size();  // one character is wider than the line
    if (text[most] == ' ') return most;
    const auto space = text.find_last_of(' ', most);
    const bool has_word = space != std::string_view::npos && text.find_first_not_of(' ') < space;
    return has_word ? space : most;
}

}  // namespace

std::vector<std::string> wrap_text(std::string_view text, std::size_t first, std::size_t rest) {
    std::vector<std::string> lines;
    std::size_t room = first;
    do {
        const std::size_t length = line_length(text, std::max<std::size_t>(room, 1));
        std::string_view line = text.substr(0, length);
        text.remove_prefix(length);
        if (!text.empty()) line = line.substr(0, line.find_last_not_of(' ') + 1);
        lines.emplace_back(line);
        text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
        room = rest;
    } while (!text.empty());
    return lines;
}

std::string hanging_lines(std::string_view lead, std::string_view text, std::size_t indent,
                          std::optional<std::size_t> width) {
    constexpr std::size_t kNarrowest = 8;  // columns that are worth beginning a text in
    std::string all(lead);
    if (!width) return all.append(text) += '\n';
    indent = std::min(indent, *width / 2);
    const std::size_t taken = display_width(lead);
    const std::size_t rest = std::max<std::size_t>(*width - indent, 1);
    std::size_t first = *width > taken ? *width - taken : 0;
    if (first < std::min(kNarrowest, display_width(text))) {
        const std::string_view shown = fit_width(lead, *width);
        all = std::string(shown.substr(0, shown.find_last_not_of(' ') + 1)) + '\n' + std::string(indent, ' ');
        first = rest;
    }
    bool is_first = true;
    for (const std::string& line : wrap_text(text, first, rest)) {
        if (!is_first) all += std::string(indent, ' ');
        all += line + '\n';
        is_first = false;
    }
    return all;
}

}  // namespace vitrine::cli
