#include "commands/commands.h"
#include "query/query.h"

namespace vitrine::cli {
namespace {

constexpr Example kExamples[] = {
    {"vitrine modules qemu:web1", "as lsmod would show inside the guest"},
    {"vitrine modules qemu:web1 --sort size:desc", "the largest first"},
    {"vitrine modules memory.img --format ndjson", "one JSON object on each line"},
};

constexpr OptionSpec kOptions[] = {
    {"--name", "", "GLOB", "only modules whose name matches the shell pattern", ValueKind::text},
};

int run(Session& session, const Arguments& arguments) {
    std::vector<RowFilter> filters;
    if (arguments.has("--name")) filters.push_back({"name", std::string(arguments.text("--name"))});
    return run_view(session, arguments, "modules", std::move(filters));
}

}  // namespace

const Command kModulesCommand{
    .name = "modules",
    .summary = "List the kernel modules of a guest",
    .description = "",
    .arguments = {&kTargetArgument, 1},
    .options = kOptions,
    .is_query = true,
    .examples = kExamples,
    .run = run,
};

}  // namespace vitrine::cli
