#include "shell/shell.h"
#include "commands/commands.h"
#include "sql/options.h"

namespace vitrine::cli {
namespace {

constexpr Example kExamples[] = {
    {"vitrine shell qemu:web1", "ask one question after the other; Tab completes, .help helps"},
    {"vitrine shell qemu:web1 qemu:web2", "several guests in one database"},
    {"vitrine shell memory.img < questions.sql", "a script; ends at the first failure with its exit code"},
};

constexpr ArgumentSpec kArguments[] = {
    {"TARGET",
     "a guest, as for every command; several are one database, told apart by the column vm",
     ArgumentKind::target,
     true,
     {},
     true},
};

int run(Session& session, const Arguments& arguments) {
    const auto settings = sql_settings(session, arguments);
    if (!settings) return settings.error();
    auto group = GuestGroup::attach(session, arguments.list("TARGET"));
    if (!group) return group.error();
    return run_shell(session, **group, *settings);
}

}  // namespace

const Command kShellCommand{
    .name = "shell",
    .summary = "Ask a guest, or several, in SQL, interactively",
    .description =
        "Ctrl-C stops a statement, Ctrl-D ends. Exits with 3 if at the end no guest can be reached any more.",
    .arguments = kArguments,
    .options = sql_options(),
    .examples = kExamples,
    .run = run,
};

}  // namespace vitrine::cli
