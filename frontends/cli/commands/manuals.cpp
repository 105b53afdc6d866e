// The commands that give out texts made from the command model: help, completion, and the hidden one that builds the manuals.
#include <fmt/format.h>

#include <fstream>

#include "app/session.h"
#include "app/version.h"
#include "commands/commands.h"
#include "model/help.h"
#include "schema/schema_text.h"

namespace vitrine::cli {
namespace {

constexpr Example kHelpExamples[] = {
    {"vitrine help", "all commands"},
    {"vitrine help ps", "one of them"},
    {"man vitrine", "everything"},
};
constexpr ArgumentSpec kHelpArguments[] = {{"COMMAND", "the command to explain", ArgumentKind::command, false}};

// A text as it is, or as the last of the columns of one row.
void write_text(Session& session, std::initializer_list<std::string_view> columns, std::vector<Value> values) {
    if (session.settings().format == Format::table) {
        session.out().write(std::get<std::string>(values.back()));
        return;
    }
    std::vector<OutputColumn> output;
    for (const std::string_view name : columns) output.push_back({std::string(name), ColumnType::text});
    const auto writer = make_row_writer(session.out(), session.style(), output);
    writer->row(values);
    writer->finish();
}

void list_commands(Session& session) {
    const std::vector<OutputColumn> columns{{"command", ColumnType::text}, {"summary", ColumnType::text}};
    const auto writer = make_row_writer(session.out(), session.style(), columns);
    for (const Command* command : all_commands()) {
        const std::vector<Value> values{std::string(command->name), std::string(command->summary)};
        if (!command->hidden) writer->row(values);
    }
    for (const auto& view : session.own_views().views()) {
        const std::vector<Value> values{view->view().name, view->view().summary};
        writer->row(values);
    }
    writer->finish();
}

int run_help(Session& session, const Arguments& arguments) {
    const std::string_view name = arguments.text("COMMAND");
    const Command* command = find_command(name);
    if (command == nullptr) command = session.own_views().find(name);
    if (!name.empty() && command == nullptr) {
        return session.usage(fmt::format("unknown command '{}'", name), "vitrine --help lists the commands");
    }
    if (command != nullptr) write_text(session, {"command", "help"}, {std::string(name), help_text(*command)});
    else if (session.settings().format == Format::table) session.out().write(help_text(session.own_views()));
    else list_commands(session);
    return kExitOk;
}

constexpr Example kCompletionExamples[] = {
    {"source <(vitrine completion bash)", "in this bash, now"},
    {"vitrine completion zsh > ~/.zfunc/_vitrine", "for zsh, in a directory of fpath"},
    {"vitrine completion fish > ~/.config/fish/completions/vitrine.fish", "for fish"},
};
constexpr ArgumentSpec kCompletionArguments[] = {
    {"SHELL", "bash, zsh or fish", ArgumentKind::shell, true, "bash|zsh|fish"}};

int run_completion(Session& session, const Arguments& arguments) {
    const std::string_view shell = arguments.text("SHELL");
    write_text(session, {"shell", "script"}, {std::string(shell), completion_script(shell)});
    return kExitOk;
}

constexpr Example kDocumentExamples[] = {
    {"vitrine document man > vitrine.1", "the man page"},
    {"vitrine document markdown > docs/commands.md", "the commands as a page"},
    {"vitrine document tables docs/tables", "the tables, a page for each"},
    {"vitrine document man | man -l -", "read it at once"},
};
constexpr ArgumentSpec kDocumentArguments[] = {
    {"FORM", "man, markdown or tables", ArgumentKind::text, true, "man|markdown|tables"},
    {"DIR", "of tables: where to write a page for each", ArgumentKind::text, false}};

// A page for each table, and README.md that lists them.
int write_tables(Session& session, const std::string& folder) {
    const auto write = [&](std::string_view name, const std::string& text) {
        std::ofstream file(fmt::format("{}/{}.md", folder, name), std::ios::trunc);
        file << text;
        file.flush();
        return file.good();
    };
    bool good = write("README", tables_markdown(session.engine().tables(), sql_functions()));
    for (const Table* table : session.engine().tables()) good = good && write(table->spec.name, table_markdown(*table));
    if (good) return kExitOk;
    session.messages().error(fmt::format("cannot write the pages into {}", folder),
                             "it must be a directory that is there");
    return kExitOutput;
}

int run_document(Session& session, const Arguments& arguments) {
    const std::string_view form = arguments.text("FORM");
    if (form == "tables") {
        if (!arguments.has("DIR")) return session.usage("vitrine document tables needs a DIR");
        return write_tables(session, std::string(arguments.text("DIR")));
    }
    write_text(session, {"form", "text"},
               {std::string(form), form == "man" ? man_page(version()) : commands_markdown()});
    return kExitOk;
}

}  // namespace

const Command kHelpCommand{
    .name = "help",
    .summary = "Explain a command",
    .description = "",
    .arguments = kHelpArguments,
    .options = {},
    .has_target = false,
    .examples = kHelpExamples,
    .run = run_help,
};

const Command kCompletionCommand{
    .name = "completion",
    .summary = "Print the completion script for a shell",
    .description = "",
    .arguments = kCompletionArguments,
    .options = {},
    .has_target = false,
    .examples = kCompletionExamples,
    .run = run_completion,
};

const Command kDocumentCommand{
    .name = "document",
    .summary = "Print the manual, made from the commands themselves",
    .description = "",
    .arguments = kDocumentArguments,
    .options = {},
    .has_target = false,
    .examples = kDocumentExamples,
    .run = run_document,
    .hidden = true,
};

}  // namespace vitrine::cli
