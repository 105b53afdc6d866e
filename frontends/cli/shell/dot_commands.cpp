#include "shell/dot_commands.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "model/suggest.h"
#include "query/glob.h"
#include "shell/schema_text.h"
#include "shell/shell.h"

namespace vitrine::cli {
namespace {

constexpr std::string_view kModes = "table|json|ndjson|csv|line";
constexpr std::string_view kOnOff = "on|off";

void write_rows(ShellState& state, std::span<const OutputColumn> columns, std::span<const std::vector<Value>> rows) {
    const auto writer = make_row_writer(state.output(), state.output_style(), columns);
    for (const std::vector<Value>& row : rows) writer->row(row);
    writer->finish();
    state.output().flush();
}

int show_help(ShellState& state, std::string_view) {
    std::string text;
    for (const DotCommand& command : dot_commands()) {
        std::string value;
        if (!command.value.empty())
            value = command.required ? fmt::format(" {}", command.value) : fmt::format(" [{}]", command.value);
        text += fmt::format("{:<28} {}\n", fmt::format("{}{}", command.name, value), command.doc);
    }
    state.output().write(text);
    state.output().flush();
    return kExitOk;
}

int show_tables(ShellState& state, std::string_view pattern) {
    const std::array<OutputColumn, 2> columns{{{"table", ColumnType::text}, {"summary", ColumnType::text}}};
    std::vector<std::vector<Value>> rows;
    for (const Table* table : state.session.engine().tables()) {
        if (!pattern.empty() && !glob_match(pattern, table->spec.name)) continue;
        rows.push_back({std::string(table->spec.name), std::string(table->spec.summary)});
    }
    write_rows(state, columns, rows);
    return kExitOk;
}

int show_schema(ShellState& state, std::string_view name) {
    std::vector<std::string_view> names;
    std::string text;
    for (const Table* table : state.session.engine().tables()) {
        names.push_back(table->spec.name);
        if (name.empty() || name == table->spec.name)
            text += (text.empty() ? "" : "\n") + create_table_text(table->spec);
    }
    if (text.empty()) {
        const std::string_view near = nearest(name, names);
        return state.session.usage(fmt::format("there is no table '{}'", name),
                                   near.empty() ? ".tables lists the tables" : fmt::format("did you mean {}?", near));
    }
    state.output().write(text);
    state.output().flush();
    return kExitOk;
}

int set_mode(ShellState& state, std::string_view mode) {
    constexpr std::array<std::string_view, 5> kNames{"table", "json", "ndjson", "csv", "line"};
    const auto found = std::find(kNames.begin(), kNames.end(), mode) - kNames.begin();
    constexpr std::array<Format, 5> kFormats{Format::table, Format::json, Format::ndjson, Format::csv, Format::line};
    state.style.format = kFormats[static_cast<std::size_t>(found)];
    return kExitOk;
}

int set_headers(ShellState& state, std::string_view choice) {
    state.style.header = choice == "on";
    return kExitOk;
}

int set_timing(ShellState& state, std::string_view choice) {
    state.settings.timing = choice == "on";
    return kExitOk;
}

int set_paused(ShellState& state, std::string_view choice) {
    state.settings.paused = choice == "on";
    return kExitOk;
}

std::string_view severity_name(Severity severity) {
    switch (severity) {
        case Severity::info: return "info";
        case Severity::warning: return "warning";
        case Severity::error: return "error";
    }
    return "";
}

int show_diagnostics(ShellState& state, std::string_view) {
    const std::array<OutputColumn, 5> columns{{{"severity", ColumnType::text},
                                               {"vm", ColumnType::text},
                                               {"table", ColumnType::text},
                                               {"address", ColumnType::address},
                                               {"text", ColumnType::text}}};
    std::vector<std::vector<Value>> rows;
    for (const Diagnostic& diagnostic : state.runner.last_report().diagnostics) {
        rows.push_back({std::string(severity_name(diagnostic.severity)), diagnostic.vm, diagnostic.table,
                        diagnostic.address == 0 ? Value() : Value(AddressValue{diagnostic.address}), diagnostic.text});
    }
    if (!rows.empty() || state.style.format != Format::table) write_rows(state, columns, rows);
    if (rows.empty()) state.session.messages().note("nothing was said of the statement before");
    return kExitOk;
}

int cannot_open(ShellState& state, std::string_view path) {
    return state.session.usage(fmt::format("cannot open '{}': {}", path, std::strerror(errno)));
}

int read_file(ShellState& state, std::string_view path) {
    constexpr unsigned kDeepest = 8;
    if (state.reading == kDeepest) return state.session.usage("too many files that .read one another");
    const int fd = open(std::string(path).c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return cannot_open(state, path);
    FileLines lines(fd);
    ++state.reading;
    const bool interactive = std::exchange(state.interactive, false);  // it ends at the first failure
    const int code = run_lines(state, lines);
    state.interactive = interactive;
    --state.reading;
    close(fd);
    return code;
}

int set_output(ShellState& state, std::string_view path) {
    if (path.empty() || path == "stdout") {
        state.file.reset();
        return kExitOk;
    }
    const int fd = open(std::string(path).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return cannot_open(state, path);
    state.file = std::make_unique<ShellState::File>(fd);
    return kExitOk;
}

int quit(ShellState& state, std::string_view) {
    state.quit = true;
    return kExitOk;
}

constexpr auto kCommands = std::to_array<DotCommand>({
    {".help", "", "this list", DotArgument::none, false, {}, show_help},
    {".tables", "GLOB", "the tables", DotArgument::pattern, false, {}, show_tables},
    {".schema", "TABLE", "the columns of the tables, or of one", DotArgument::table, false, {}, show_schema},
    {".mode", kModes, "how answers are written", DotArgument::choice, true, kModes, set_mode},
    {".headers", kOnOff, "the line of column names (table, csv)", DotArgument::choice, true, kOnOff, set_headers},
    {".timing", kOnOff, "how long each table took to read", DotArgument::choice, true, kOnOff, set_timing},
    {".paused", kOnOff, "pause the guests during each statement", DotArgument::choice, true, kOnOff, set_paused},
    {".diagnostics", "", "what was said of the statement before", DotArgument::none, false, {}, show_diagnostics},
    {".read", "FILE", "run the statements and commands of a file", DotArgument::file, true, {}, read_file},
    {".output", "FILE|stdout", "write answers to a file", DotArgument::file, false, "stdout", set_output},
    {".quit", "", "end; so does Ctrl-D", DotArgument::none, false, {}, quit},
    {".exit", "", "the same", DotArgument::none, false, {}, quit},
});

std::string_view trimmed(std::string_view text) {
    const auto begin = text.find_first_not_of(" \t\r");
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(" \t\r") + 1 - begin);
}

}  // namespace

std::span<const DotCommand> dot_commands() { return kCommands; }

const DotCommand* find_dot_command(std::string_view name) {
    const auto* found = std::find_if(kCommands.begin(), kCommands.end(),
                                     [&](const DotCommand& command) { return command.name == name; });
    return found == kCommands.end() ? nullptr : found;
}

int run_dot_command(ShellState& state, std::string_view line) {
    const std::string_view name = line.substr(0, line.find_first_of(" \t\r"));
    const std::string_view argument = trimmed(line.substr(name.size()));
    const DotCommand* command = find_dot_command(name);
    if (command == nullptr) {
        std::vector<std::string_view> names;
        for (const DotCommand& known : kCommands) names.push_back(known.name);
        const std::string_view near = nearest(name, names);
        return state.session.usage(fmt::format("unknown command '{}'", name),
                                   near.empty() ? ".help lists the commands" : fmt::format("did you mean {}?", near));
    }
    if (command->argument == DotArgument::none && !argument.empty()) {
        return state.session.usage(fmt::format("{} takes nothing, not '{}'", name, argument));
    }
    if (command->required && argument.empty())
        return state.session.usage(fmt::format("{} needs {}", name, command->value));
    if (command->argument == DotArgument::choice && !is_choice(command->choices, argument)) {
        return state.session.usage(fmt::format("{} takes {}, not '{}'", name, command->choices, argument));
    }
    return command->run(state, argument);
}

}  // namespace vitrine::cli
