#include <fmt/format.h>

#include "commands/commands.h"
#include "model/suggest.h"
#include "query/query.h"

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
    if (table == nullptr) {
        std::vector<std::string_view> names;
        for (const Table* known : session.engine().tables()) names.push_back(known->spec.name);
        const std::string_view near = nearest(name, names);
        return session.usage(fmt::format("there is no table '{}'", name),
                             near.empty() ? "vitrine schema lists the tables" : fmt::format("did you mean {}?", near));
    }
    auto query = make_query(session, *table, nullptr, arguments);
    if (!query) return query.error();
    auto guest = session.attach(arguments.text("TARGET"));
    if (!guest) return guest.error();
    return run_query(session, **guest, *query);
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
