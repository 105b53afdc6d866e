#include <fmt/format.h>

#include <algorithm>

#include "app/embedded_files.h"
#include "app/session.h"
#include "commands/commands.h"

namespace vitrine::cli {
namespace {

constexpr Example kExamples[] = {
    {"vitrine new-table timers > src/tables/linux/timers.cpp", "a table of Linux guests"},
    {"vitrine new-table parts --os any > src/tables/machine/parts.cpp", "one about the machine"},
    {"vitrine new-table timers | less", "what a table consists of"},
};

constexpr ArgumentSpec kArguments[] = {{"NAME", "of the table: a-z, 0-9 and _, a letter first", ArgumentKind::text}};

constexpr OptionSpec kOptions[] = {
    {"--os", "", "OS", "the kind of guest that has it", ValueKind::choice, "linux|any"},
};

bool is_table_name(std::string_view name) {
    const auto good = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
    return name.size() <= 48 && name[0] >= 'a' && name[0] <= 'z' && std::all_of(name.begin(), name.end(), good);
}

std::string filled(std::string_view text, std::string_view name) {
    constexpr std::string_view kPlace = "@NAME@";
    std::string out;
    for (auto at = text.find(kPlace); at != std::string_view::npos; at = text.find(kPlace)) {
        out += text.substr(0, at);
        out += name;
        text.remove_prefix(at + kPlace.size());
    }
    return out += text;
}

int run(Session& session, const Arguments& arguments) {
    const std::string_view name = arguments.text("NAME");
    const std::string_view os = arguments.has("--os") ? arguments.text("--os") : "linux";
    if (!is_table_name(name))
        return session.usage(fmt::format("'{}' is no name for a table", name), "a-z, 0-9 and _, a letter first");
    for (const EmbeddedFile& file : embedded_table_templates()) {
        if (!file.name.starts_with(fmt::format("{}_", os))) continue;
        const std::string text = filled(file.text, name);
        if (session.settings().format == Format::table) {
            session.out().write(text);
            return kExitOk;
        }
        const std::vector<OutputColumn> columns{{"table", ColumnType::text}, {"text", ColumnType::text}};
        const auto writer = make_row_writer(session.out(), session.style(), columns);
        const std::vector<Value> values{std::string(name), text};
        writer->row(values);
        writer->finish();
        return kExitOk;
    }
    return kExitInternal;
}

}  // namespace

const Command kNewTableCommand{
    .name = "new-table",
    .summary = "Print a source file to begin a table of your own with",
    .description =
        "It compiles as it is: columns, what is needed of the kernel, generator, examples, queries, invariants.",
    .arguments = kArguments,
    .options = kOptions,
    .has_target = false,
    .examples = kExamples,
    .run = run,
};

}  // namespace vitrine::cli
