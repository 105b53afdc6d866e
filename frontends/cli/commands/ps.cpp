#include "commands/commands.h"
#include "query/query.h"

namespace vitrine::cli {
namespace {

constexpr Example kExamples[] = {
    {"vitrine ps qemu:web1", "every process of a running guest"},
    {"vitrine ps memory.img --name 'ssh*' --columns pid,uid,cmdline", "some processes, some columns"},
    {"vitrine ps qemu:4711 --paused --format json", "one consistent picture, for a program"},
};

constexpr OptionSpec kOptions[] = {
    {"--pid", "-p", "N", "only the process with this id", ValueKind::number},
    {"--name", "", "GLOB", "only processes whose name matches the shell pattern", ValueKind::text},
    {"--uid", "-u", "N", "only processes of this user id", ValueKind::number},
};

int run(Session& session, const Arguments& arguments) {
    std::vector<RowFilter> filters;
    if (const auto pid = arguments.number("--pid")) filters.push_back({"pid", static_cast<std::int64_t>(*pid)});
    if (arguments.has("--name")) filters.push_back({"name", std::string(arguments.text("--name"))});
    if (const auto uid = arguments.number("--uid")) filters.push_back({"uid", static_cast<std::int64_t>(*uid)});
    return run_view(session, arguments, "ps", std::move(filters));
}

}  // namespace

const Command kPsCommand{
    .name = "ps",
    .summary = "List the processes of a guest",
    .description = "Kernel threads and processes without a command line show their name in brackets.",
    .arguments = {&kTargetArgument, 1},
    .options = kOptions,
    .is_query = true,
    .examples = kExamples,
    .run = run,
};

}  // namespace vitrine::cli
