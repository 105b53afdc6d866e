#include "app/messages.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "render/terminal.h"
#include "vitrine/base/text.h"

namespace vitrine::cli {
namespace {

constexpr std::chrono::milliseconds kQuietTime{300};
constexpr std::chrono::milliseconds kInterval{80};

}  // namespace

Messages::Messages(int fd) : fd_(fd), terminal_(is_terminal(fd)), started_(std::chrono::steady_clock::now()) {}

// Nothing can be done about standard error that cannot be written.
void Messages::write(std::string_view text) const {
    while (!text.empty()) {
        const ssize_t wrote = ::write(fd_, text.data(), text.size());
        if (wrote < 0 && errno != EINTR) return;
        if (wrote > 0) text.remove_prefix(static_cast<std::size_t>(wrote));
    }
}

void Messages::line(std::string_view prefix, std::string_view text) {
    clear_progress();
    write(fmt::format("{}{}\n", prefix, to_terminal_text(text)));
}

void Messages::error(std::string_view text, std::string_view hint) {
    line("vitrine: ", text);
    if (!hint.empty()) line("  hint: ", hint);
}

void Messages::say(std::string_view text) { line({}, text); }

void Messages::note(std::string_view text) { line("note: ", text); }

void Messages::timing(std::string_view text) { line("timing: ", text); }

void Messages::progress(std::string_view step, double fraction) {
    if (!terminal_) return;
    const auto now = std::chrono::steady_clock::now();
    if (now - started_ < kQuietTime || now - last_ < kInterval) return;
    last_ = now;
    shown_ = true;
    const std::size_t width = terminal_width(fd_).value_or(80);
    std::string text = to_terminal_text(step);
    if (fraction >= 0) text += fmt::format(" {:3.0f} %", fraction * 100);
    write(fmt::format("\r\x1b[K{}", fit_width(text, width > 1 ? width - 1 : 1)));
}

void Messages::clear_progress() {
    if (shown_) write("\r\x1b[K");
    shown_ = false;
}

}  // namespace vitrine::cli
