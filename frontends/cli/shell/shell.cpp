#include "shell/shell.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstring>

#include "app/interrupt.h"
#include "shell/dot_commands.h"
#include "shell/history.h"
#include "shell/line_editor.h"
#include "sql/tokens.h"

namespace vitrine::cli {
namespace {

// Is there something that would write to what cannot be written to any more? A file is given up, standard output ends the shell.
int check_output(ShellState& state, int code) {
    Output& output = state.output();
    if (output.ok() || !state.file) return code;
    state.session.messages().error(fmt::format("cannot write the file of .output: {}", std::strerror(output.error())),
                                   "answers go to standard output again");
    state.file.reset();
    return kExitOutput;
}

int run_statement(ShellState& state, const std::string& statement) {
    if (state.interactive && state.group.database() == nullptr) {
        if (const int code = state.group.reattach(state.session); state.group.database() == nullptr) return code;
    }
    const int code = state.runner.run(statement, state.settings, state.output(), state.output_style());
    if (state.interactive && state.runner.guests_changed()) {
        state.group.reattach(state.session);
        if (state.group.database() != nullptr) state.session.messages().note("ask again");
    }
    return check_output(state, code);
}

// A comment that ends with its line must not swallow the next when lines are joined.
void remember(LineReader& lines, std::string entry) {
    while (entry.ends_with('\n')) entry.pop_back();
    if (entry.find("--") != std::string::npos) {
        for (std::size_t begin = 0; begin <= entry.size();) {
            const auto end = std::min(entry.find('\n', begin), entry.size());
            if (end > begin) lines.remember(std::string_view(entry).substr(begin, end - begin));
            begin = end + 1;
        }
        return;
    }
    for (char& c : entry) {
        if (c == '\n') c = ' ';
    }
    lines.remember(entry);
}

class Loop {
public:
    Loop(ShellState& state, LineReader& lines) : state_(state), lines_(lines) {}

    int run() {
        while (!state_.quit && state_.session.out().ok()) {
            std::string line;
            const LineEnd end = lines_.read(pending_, line);
            if (end == LineEnd::interrupted) {
                if (!state_.interactive) return kExitInterrupted;  // a file that is .read: all of it is given up
                forget_interrupt();
                pending_.clear();
                continue;
            }
            const int code = end == LineEnd::end ? last_statement() : take_line(line);
            if (code != kExitOk && !state_.interactive) return code;
            if (state_.interactive) forget_interrupt();
            if (end == LineEnd::end) break;
        }
        return kExitOk;
    }

private:
    int take_line(const std::string& line) {
        if (pending_.empty() && line.starts_with('.')) {
            lines_.remember(line);
            return check_output(state_, run_dot_command(state_, line));
        }
        pending_ += line + '\n';
        const std::string entered = pending_;
        int code = kExitOk;
        bool any = false;
        while (code == kExitOk) {
            const auto statement = take_statement(pending_);
            if (!statement) break;
            if (!any) remember(lines_, entered);
            any = true;
            code = run_statement(state_, *statement);
        }
        if (code != kExitOk) pending_.clear();  // what followed on the line was meant to follow it
        return code;
    }

    // A script's last statement needs no semicolon.
    int last_statement() {
        if (state_.interactive || is_blank_sql(pending_)) return kExitOk;
        return run_statement(state_, std::exchange(pending_, {}));
    }

    ShellState& state_;
    LineReader& lines_;
    std::string pending_;  // a statement that is not complete
};

void greet(ShellState& state) {
    for (const std::string& line : state.group.descriptions()) state.session.messages().say(line);
    state.session.messages().say("Statements end with a semicolon. .help lists the commands, .tables the tables.");
}

int run_interactive(ShellState& state) {
    Session& session = state.session;
    const auto tables = session.engine().tables();
    const int prompt_fd = is_terminal(session.out().fd()) ? session.out().fd() : STDERR_FILENO;
    const auto editor = LineEditor::open(
        session.in_fd(), prompt_fd, prepare_history_file(),
        [tables](std::string_view text, std::size_t cursor) { return complete(text, cursor, tables); });
    if (!editor) {
        session.messages().error("the terminal cannot be used", "vitrine sql asks without one");
        return kExitInternal;
    }
    const InterruptAction stay([](void*) {}, nullptr);
    state.interactive = true;
    state.settings.tell = true;
    greet(state);
    run_lines(state, *editor);
    return state.group.database() == nullptr ? kExitUnreachable : kExitOk;
}

}  // namespace

ShellState::File::~File() {
    output.flush();
    close(fd);
}

Style ShellState::output_style() const {
    Style chosen = style;
    if (file) {
        chosen.width.reset();
        chosen.color = false;
    }
    return chosen;
}

int run_lines(ShellState& state, LineReader& lines) { return Loop(state, lines).run(); }

int run_shell(Session& session, GuestGroup& group, const SqlSettings& settings) {
    ShellState state(session, group, settings);
    if (is_terminal(session.in_fd())) return run_interactive(state);
    FileLines lines(session.in_fd());
    return run_lines(state, lines);
}

}  // namespace vitrine::cli
