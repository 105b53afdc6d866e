#include "app/app.h"

#include <fmt/format.h>
#include <signal.h>

#include <cstring>

#include "app/interrupt.h"
#include "app/parse.h"
#include "app/session.h"
#include "app/version.h"
#include "model/help.h"
#include "views/run_view.h"
#include "views/view_command.h"

namespace vitrine::cli {
namespace {

int dispatch(const Parsed& parsed, const OwnViews& own, Engine& engine, Output& out, Messages& messages, int in_fd) {
    if (parsed.arguments.has("--help")) {
        out.write(parsed.command == nullptr ? help_text(own) : help_text(*parsed.command));
        return kExitOk;
    }
    if (parsed.arguments.has("--version")) {
        out.write(version_text());
        return kExitOk;
    }
    if (parsed.command == nullptr) {
        messages.error("no command given", "vitrine list shows the machines of this host, vitrine --help the commands");
        return kExitUsage;
    }
    if (const UnusedView* other = own.find_unused(parsed.command->name))
        messages.note(fmt::format("{} {}", other->file, other->why));
    Session session(engine, out, messages, in_fd, Settings::from(parsed.arguments), own);
    if (parsed.command->view != nullptr) return run_view(session, *parsed.command->view, parsed.arguments);
    return parsed.command->run(session, parsed.arguments);
}

// When the reader of a pipe went away the program ends as if by SIGPIPE, quietly, as other programs in a pipeline do. Not by
// the signal itself while work is under way: then a paused guest would wait for the guardian.
int end_by_closed_pipe() {
    signal(SIGPIPE, SIG_DFL);
    raise(SIGPIPE);
    return 128 + SIGPIPE;  // SIGPIPE is blocked
}

}  // namespace

int run_program(std::span<const std::string> words, Engine& engine, int out_fd, int err_fd, int in_fd) {
    Output out(out_fd);
    Messages messages(err_fd);
    const OwnViews own = OwnViews::load(OwnViews::default_folder());
    const auto parsed = parse_command_line(words, own);
    if (!parsed) {
        messages.error(parsed.error().text, parsed.error().hint);
        return kExitUsage;
    }
    int code = dispatch(*parsed, own, engine, out, messages, in_fd);
    messages.clear_progress();
    out.flush();
    if (interrupted()) return kExitInterrupted;
    if (out.reader_gone()) return end_by_closed_pipe();
    if (out.keeping_failed()) {
        messages.error(fmt::format("cannot keep the rows until the guest goes on: {}", std::strerror(out.error())),
                       "TMPDIR names another folder for them; or leave out --paused");
        return kExitOutput;
    }
    if (!out.ok()) {
        messages.error(fmt::format("cannot write the output: {}", std::strerror(out.error())), {});
        return kExitOutput;
    }
    return code;
}

}  // namespace vitrine::cli
