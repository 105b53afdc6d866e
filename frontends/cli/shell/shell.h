// The shell: statements and dot-commands, one after the other, over a group of guests that stays attached to.
#pragma once

#include <memory>
#include <string>

#include "shell/line_reader.h"
#include "sql/runner.h"

namespace vitrine::cli {

struct ShellState {
    ShellState(Session& its_session, GuestGroup& its_group, SqlSettings its_settings)
        : session(its_session),
          group(its_group),
          runner(its_session, its_group),
          settings(std::move(its_settings)),
          style(its_session.style()) {}

    Session& session;
    GuestGroup& group;
    SqlRunner runner;
    SqlSettings settings;
    Style style;
    bool interactive = false;
    bool quit = false;
    unsigned reading = 0;  // files within files

    // .output FILE
    struct File {
        explicit File(int its_fd) : fd(its_fd), output(its_fd) {}
        File(const File&) = delete;
        File& operator=(const File&) = delete;
        ~File();
        int fd;
        Output output;
    };
    std::unique_ptr<File> file;
    [[nodiscard]] Output& output() const { return file ? file->output : session.out(); }
    [[nodiscard]] Style output_style() const;  // a file is neither cut nor coloured
};

// Up to the end of the lines, .quit, or the first failure unless the state is interactive. Returns the exit code.
int run_lines(ShellState& state, LineReader& lines);

// With a prompt where standard input is a terminal, otherwise as a script.
int run_shell(Session& session, GuestGroup& group, const SqlSettings& settings);

}  // namespace vitrine::cli
