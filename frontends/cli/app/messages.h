// What the program says on standard error: one line each, safe for a terminal, and progress on a terminal only.
#pragma once

#include <chrono>
#include <string_view>

#include "vitrine/base/result.h"

namespace vitrine::cli {

class Messages {
public:
    explicit Messages(int fd);
    Messages(const Messages&) = delete;
    Messages& operator=(const Messages&) = delete;
    ~Messages() { clear_progress(); }

    void error(std::string_view text, std::string_view hint);  // "vitrine: text", "  hint: hint"
    void error(const Error& error) { this->error(error.to_string(), error.hint()); }
    void say(std::string_view text);     // "text"
    void note(std::string_view text);    // "note: text"
    void timing(std::string_view text);  // "timing: text"

    [[nodiscard]] bool on_terminal() const { return terminal_; }

    // Shown only after a moment, so that quick work does not flicker. fraction < 0: unknown.
    void progress(std::string_view step, double fraction);
    void clear_progress();

private:
    void line(std::string_view prefix, std::string_view text);
    void write(std::string_view text) const;

    int fd_;
    bool terminal_;
    bool shown_ = false;
    std::chrono::steady_clock::time_point started_;
    std::chrono::steady_clock::time_point last_;
};

}  // namespace vitrine::cli
