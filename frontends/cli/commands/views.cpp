#include <fmt/format.h>

#include "app/session.h"
#include "commands/commands.h"
#include "views/view_command.h"

namespace vitrine::cli {
namespace {

constexpr Example kExamples[] = {
    {"vitrine views", "all named queries: those that are built in, and your own"},
    {"vitrine views --own", "those of your own, and why one is not used"},
    {"vitrine views --sql ps", "the SELECT of one, to begin another with"},
};

constexpr OptionSpec kOptions[] = {
    {"--own", "", "", "list only your own: files *.sql in ~/.config/vitrine/views", ValueKind::flag},
    {"--sql", "", "NAME", "print the SELECT of this view", ValueKind::text},
};

Value text_or_null(const std::string& text) { return text.empty() ? Value() : Value(text); }

void list_views(Session& session, bool own_only) {
    const std::vector<OutputColumn> columns{{"name", ColumnType::text},
                                            {"origin", ColumnType::text},
                                            {"summary", ColumnType::text},
                                            {"file", ColumnType::text}};
    const auto writer = make_row_writer(session.out(), session.style(), columns);
    const auto write = [&](const View& view, const char* origin) {
        const std::vector<Value> values{view.name, std::string(origin), view.summary, text_or_null(view.file)};
        writer->row(values);
    };
    for (const ViewCommand* view : built_in_views()) {
        if (!own_only) write(view->view(), "built in");
    }
    for (const auto& view : session.own_views().views()) write(view->view(), "own");
    writer->finish();
    for (const UnusedView& unused : session.own_views().unused())
        session.messages().note(fmt::format("{}: {}", unused.file, unused.why));
}

int print_sql(Session& session, std::string_view name) {
    const View* view = find_built_in_view(name);
    for (const auto& own : session.own_views().views()) {
        if (own->view().name == name) view = &own->view();
    }
    if (view == nullptr) return session.usage(fmt::format("there is no view '{}'", name), "vitrine views lists them");
    if (session.settings().format == Format::table) {
        session.out().write(view->sql + "\n");
        return kExitOk;
    }
    const std::vector<OutputColumn> columns{{"name", ColumnType::text}, {"sql", ColumnType::text}};
    const auto writer = make_row_writer(session.out(), session.style(), columns);
    const std::vector<Value> values{view->name, view->sql};
    writer->row(values);
    writer->finish();
    return kExitOk;
}

int run(Session& session, const Arguments& arguments) {
    if (arguments.has("--sql")) return print_sql(session, arguments.text("--sql"));
    list_views(session, arguments.has("--own"));
    return session.own_views().unused().empty() ? kExitOk : kExitUsage;
}

}  // namespace

const Command kViewsCommand{
    .name = "views",
    .summary = "List the views: the named queries that are commands, built in and your own",
    .description = "A file of your own that cannot be used is said with its line, and exits with 2.",
    .arguments = {},
    .options = kOptions,
    .has_target = false,
    .examples = kExamples,
    .run = run,
};

}  // namespace vitrine::cli
