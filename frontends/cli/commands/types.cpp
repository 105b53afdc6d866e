#include <fmt/format.h>

#include "commands/commands.h"
#include "query/query.h"
#include "render/wrap.h"
#include "vitrine/base/text.h"

namespace vitrine::cli {
namespace {

constexpr Example kExamples[] = {
    {"vitrine types qemu:web1 task_struct", "a structure with the offsets of its members"},
    {"vitrine types qemu:web1 task_struct --member mm", "where one member lies; a.b.c descends"},
    {"vitrine types memory.img --name 'sk_*'", "the names of types that match"},
};

constexpr ArgumentSpec kArguments[] = {
    {"TARGET", "as for every command; vitrine --help lists the forms", ArgumentKind::target},
    {"TYPE", "a structure, union, enumeration or typedef; without it types are listed", ArgumentKind::text, false},
};

constexpr OptionSpec kOptions[] = {
    {"--member", "-m", "PATH", "show only this member of TYPE", ValueKind::text},
    {"--name", "", "GLOB", "list only types whose name matches the shell pattern", ValueKind::text},
};

void write_row(Session& session, std::span<const OutputColumn> columns, std::span<const Value> values) {
    const auto writer = make_row_writer(session.out(), session.style(), columns);
    writer->row(values);
    writer->finish();
}

// Comments stand in a column of their own, where there is room for one.
std::string without_alignment(std::string_view line) {
    const auto comment = line.find("/*");
    const auto code = line.substr(0, std::min(comment, line.size())).find_last_not_of(' ');
    if (comment == std::string_view::npos || code == std::string_view::npos) return std::string(line);
    return std::string(line.substr(0, code + 1)) + ' ' + std::string(line.substr(comment));
}

// Line by line: line ends and indentation are ours, everything else is the guest's.
// Tabs become spaces where the width counts.
void write_definition(Session& session, std::string_view text) {
    constexpr std::size_t kTab = 8;
    const std::optional<std::size_t> width = session.style().width;
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size());
        const auto tabs = std::min(text.find_first_not_of('\t'), end);
        std::string line = to_terminal_text(text.substr(tabs, end - tabs));
        const std::size_t indent = width ? std::min(tabs * kTab, *width / 2) : 0;
        if (width && indent + display_width(line) > *width) line = without_alignment(line);
        session.out().write(width ? hanging_lines(std::string(indent, ' '), line, indent + kTab, width)
                                  : std::string(tabs, '\t') + line + '\n');
        text.remove_prefix(std::min(end + 1, text.size()));
    }
}

void show_type(Session& session, const TypeCatalog& types, TypeId id) {
    const std::string definition = types.definition(id);
    if (session.settings().format == Format::table) {
        write_definition(session, definition);
        return;
    }
    const std::vector<OutputColumn> columns{{"name", ColumnType::text},
                                            {"kind", ColumnType::text},
                                            {"size", ColumnType::integer},
                                            {"definition", ColumnType::text}};
    const Type* type = types.type(id);
    const auto size = types.size_of(id);
    const std::vector<Value> values{std::string(types.type_name(id)),
                                    type == nullptr ? Value() : Value(std::string(to_string(type->kind))),
                                    size ? Value(static_cast<std::int64_t>(*size)) : Value(), definition};
    write_row(session, columns, values);
}

int show_member(Session& session, const TypeCatalog& types, TypeId id, std::string_view path) {
    const auto field = types.field(id, path);
    if (!field) return session.fail(field.error(), Phase::query);
    const std::vector<OutputColumn> columns{{"type", ColumnType::text},          {"member", ColumnType::text},
                                            {"offset", ColumnType::integer},     {"size", ColumnType::integer},
                                            {"bit_offset", ColumnType::integer}, {"bit_size", ColumnType::integer},
                                            {"member_type", ColumnType::text}};
    const bool bits = field->bit_size != 0;
    const std::vector<Value> values{std::string(types.type_name(id)),
                                    std::string(path),
                                    static_cast<std::int64_t>(field->offset()),
                                    static_cast<std::int64_t>(field->size),
                                    bits ? Value(static_cast<std::int64_t>(field->bit_offset)) : Value(),
                                    bits ? Value(std::int64_t{field->bit_size}) : Value(),
                                    types.declaration(field->type, "")};
    write_row(session, columns, values);
    return kExitOk;
}

int run(Session& session, const Arguments& arguments) {
    const std::string_view name = arguments.text("TYPE");
    if (name.empty()) {
        if (arguments.has("--member"))
            return session.usage("--member needs a TYPE", "vitrine types TARGET TYPE --member PATH");
        std::vector<RowFilter> filters;
        if (arguments.has("--name")) filters.push_back({"name", std::string(arguments.text("--name"))});
        return run_view(session, arguments, "types", std::move(filters));
    }
    auto guest = session.attach(arguments.text("TARGET"));
    if (!guest) return guest.error();
    const auto types = (*guest)->types();
    if (!types) return session.fail(types.error(), Phase::query);
    const auto id = (*types)->find(name);
    if (!id) return session.fail(id.error(), Phase::query);
    if (arguments.has("--member")) return show_member(session, **types, *id, arguments.text("--member"));
    show_type(session, **types, *id);
    return kExitOk;
}

}  // namespace

const Command kTypesCommand{
    .name = "types",
    .summary = "List or show the types of a guest's kernel",
    .description = "From the BTF that the kernel carries in its memory, or from --symbols VMLINUX.",
    .arguments = kArguments,
    .options = kOptions,
    .is_query = true,
    .examples = kExamples,
    .run = run,
};

}  // namespace vitrine::cli
