#include "commands/commands.h"
#include "query/find_table.h"
#include "views/run_view.h"
#include "views/view_command.h"

namespace vitrine::cli {
namespace {

constexpr Example kExamples[] = {
    {"vitrine table guest_memory_map qemu:web1", "any table, all its columns"},
    {"vitrine table processes memory.img --columns pid,name,euid", "some columns of it"},
    {"vitrine schema", "which tables there are"},
};

constexpr ArgumentSpec kArguments[] = {
    {"TABLE", "the name of a table: vitrine schema lists them", ArgumentKind::table},
    {"TARGET", "as for every command; vitrine --help lists the forms", ArgumentKind::target},
};

int run(Session& session, const Arguments& arguments) {
    const std::string_view name = arguments.text("TABLE");
    const Table* table = find_table(session, name);
    if (table == nullptr) return unknown_table(session, name);
    View view = view_of_table(*table);
    for (const ViewCommand* known : built_in_views()) {
        if (known->view().table == name) view.never_empty = known->view().never_empty;
    }
    return run_view(session, view, arguments);
}

}  // namespace

const Command kTableCommand{
    .name = "table",
    .summary = "Show any table of a guest, all its columns",
    .description = "",
    .arguments = kArguments,
    .options = {},
    .is_query = true,
    .examples = kExamples,
    .run = run,
};

}  // namespace vitrine::cli
