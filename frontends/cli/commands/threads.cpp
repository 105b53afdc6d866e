#include "commands/commands.h"
#include "query/query.h"

namespace vitrine::cli {
namespace {

constexpr Example kExamples[] = {
    {"vitrine threads qemu:web1", "every thread of every process"},
    {"vitrine threads qemu:web1 --pid 812", "the threads of one process"},
    {"vitrine threads core.elf --format csv", "for a spreadsheet, every column"},
};

constexpr OptionSpec kOptions[] = {
    {"--pid", "-p", "N", "only threads of the process with this id", ValueKind::number},
    {"--name", "", "GLOB", "only threads whose name matches the shell pattern", ValueKind::text},
};

int run(Session& session, const Arguments& arguments) {
    std::vector<RowFilter> filters;
    if (const auto pid = arguments.number("--pid")) filters.push_back({"pid", static_cast<std::int64_t>(*pid)});
    if (arguments.has("--name")) filters.push_back({"name", std::string(arguments.text("--name"))});
    return run_view(session, arguments, "threads", std::move(filters));
}

}  // namespace

const Command kThreadsCommand{
    .name = "threads",
    .summary = "List the threads of a guest",
    .description = "",
    .arguments = {&kTargetArgument, 1},
    .options = kOptions,
    .is_query = true,
    .examples = kExamples,
    .run = run,
};

}  // namespace vitrine::cli
