#include "render/terminal.h"

#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <string_view>

namespace vitrine::cli {
namespace {

std::string_view environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? std::string_view() : std::string_view(value);
}

}  // namespace

bool is_terminal(int fd) { return isatty(fd) == 1; }

std::optional<std::size_t> terminal_width(int fd) {
    if (!is_terminal(fd)) return std::nullopt;
    winsize size{};
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    const std::string_view columns = environment("COLUMNS");
    std::size_t width = 0;
    const auto [end, error] = std::from_chars(columns.data(), columns.data() + columns.size(), width);
    if (error == std::errc() && end == columns.data() + columns.size() && width > 0) return width;
    return 80;
}

bool use_color(ColorMode mode, int fd) {
    if (mode != ColorMode::automatic) return mode == ColorMode::always;
    return environment("NO_COLOR").empty() && environment("TERM") != "dumb" && is_terminal(fd);
}

bool locale_is_utf8() {
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        const std::string_view value = environment(name);
        if (value.empty()) continue;
        const auto dot = value.find('.');
        if (dot == std::string_view::npos) return false;
        const std::string_view charset = value.substr(dot + 1, value.find('@') - dot - 1);
        return charset.size() >= 4 && strncasecmp(charset.data(), "utf", 3) == 0 && charset.back() == '8';
    }
    return false;
}

}  // namespace vitrine::cli
