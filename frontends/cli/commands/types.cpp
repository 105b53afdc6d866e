#include <fmt/format.h>

#include "commands/commands.h"
#include "render/wrap.h"
#include "views/run_view.h"
#include "views/view_command.h"
#include "vitrine/base/text.h"
#include "vitrine/guest/linux_guest.h"

namespace vitrine::cli {
namespace {

constexpr Example kExamples[] = {
    {"vitrine types qemu:web1 task_struct", "a structure with the offsets of its members"},
    {"vitrine types qemu:web1 task_struct --member mm", "where one member lies; a.b.c descends"},
    {"vitrine types memory.img --name 'sk_*'", "the names of types that match"},
    {"vitrine types qemu:web1 virtnet_info --module virtio_net", "as this module defines it"},
};

constexpr ArgumentSpec kArguments[] = {
    {"TARGET", "as for every command; vitrine --help lists the forms", ArgumentKind::target},
    {"TYPE", "a structure, union, enumeration or typedef; without it types are listed", ArgumentKind::text, false},
};

constexpr OptionSpec kOptions[] = {
    {"--member", "-m", "PATH", "show only this member of TYPE", ValueKind::text},
    {"--module", "", "NAME", "TYPE as this module defines it; without TYPE: list only this module's", ValueKind::text},
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

struct Found {
    std::shared_ptr<const TypeCatalog> kept;  // what a module's type lies in; null for the kernel's
    const TypeCatalog* types = nullptr;
    TypeId id = 0;
    std::string module;  // that defines it; "": the kernel
};

void show_type(Session& session, const Found& found) {
    const TypeCatalog& types = *found.types;
    const TypeId id = found.id;
    const std::string definition = types.definition(id);
    if (session.settings().format == Format::table) {
        write_definition(session, definition);
        return;
    }
    const std::vector<OutputColumn> columns{{"name", ColumnType::text},
                                            {"kind", ColumnType::text},
                                            {"size", ColumnType::integer},
                                            {"definition", ColumnType::text},
                                            {"module", ColumnType::text}};
    const Type* type = types.type(id);
    const auto size = types.size_of(id);
    const std::vector<Value> values{std::string(types.type_name(id)),
                                    type == nullptr ? Value() : Value(std::string(to_string(type->kind))),
                                    size ? Value(static_cast<std::int64_t>(*size)) : Value(), definition,
                                    found.module.empty() ? Value() : Value(found.module)};
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

// A name may say what kind it means: "struct x".
std::string_view without_keyword(std::string_view name) {
    for (const std::string_view keyword : {"struct ", "union ", "enum "}) {
        if (name.starts_with(keyword)) return name.substr(keyword.size());
    }
    return name;
}

// Of a module's own types of this name: a definition rather than a mere typedef to it, else the first.
std::optional<TypeId> own_type(const ModuleTypes& of, std::string_view name) {
    std::optional<TypeId> found;
    for (const TypeId id : of.types->find_all(name)) {
        if (id < of.first) continue;
        const TypeKind kind = of.types->type(id)->kind;
        if (!found || (of.types->type(*found)->kind == TypeKind::typedef_ && kind != TypeKind::typedef_)) found = id;
    }
    return found;
}

Error no_such_type(std::string text, std::string hint = {}) {
    return Error::with_text(Errc::not_found, Origin::types, std::move(text), std::move(hint));
}

// In all modules, or in the one that is named.
Result<Found> find_in_modules(const LinuxGuest& guest, std::string_view name, std::string_view module) {
    Found found;
    std::vector<std::string> holders;
    const auto report = guest.for_each_module_types({module, without_keyword(name)}, {}, [&](const ModuleTypes& of) {
        const auto id = own_type(of, name);
        if (id && holders.empty()) found = {of.types, of.types.get(), *id, of.module};
        if (id) holders.push_back(of.module);
        return true;
    });
    if (!report) return report.error();
    if (holders.size() > 1) {
        return Error::with_text(
            Errc::ambiguous, Origin::types,
            fmt::format("no type '{}' in the kernel, but in the modules {}", name, fmt::join(holders, ", ")),
            "choose one: --module NAME");
    }
    if (!holders.empty()) return found;
    const std::string why = report->problems.empty() ? "" : "; " + report->problems.front();
    if (module.empty()) return no_such_type(fmt::format("no type '{}' in the kernel or its modules{}", name, why));
    return no_such_type(fmt::format("no module '{}' that defines a type '{}'{}", module, name, why),
                        "vitrine types TARGET --module NAME lists the types of a loaded module");
}

Result<Found> find_type(Guest& guest, std::string_view name, std::string_view module) {
    if (module.empty()) {
        const TypeCatalog* types = VITRINE_TRY(guest.types());
        const auto id = types->find(name);
        if (id) return Found{nullptr, types, *id, {}};
        if (id.error().code != Errc::not_found) return id.error();
    }
    const LinuxGuest* linux_guest = guest.as_linux();
    if (linux_guest == nullptr) return no_such_type(fmt::format("no type '{}' in the kernel", name));
    return find_in_modules(*linux_guest, name, module);
}

int run(Session& session, const Arguments& arguments) {
    const std::string_view name = arguments.text("TYPE");
    const std::string_view module = arguments.text("--module");
    if (name.empty()) {
        if (arguments.has("--member"))
            return session.usage("--member needs a TYPE", "vitrine types TARGET TYPE --member PATH");
        const View* view = find_built_in_view("types");
        return view == nullptr ? kExitInternal : run_view(session, *view, arguments);
    }
    auto guest = session.attach(arguments.text("TARGET"));
    if (!guest) return guest.error();
    const auto found = find_type(**guest, name, module);
    if (!found) return session.fail(found.error(), Phase::query);
    if (arguments.has("--member")) return show_member(session, *found->types, found->id, arguments.text("--member"));
    show_type(session, *found);
    return kExitOk;
}

}  // namespace

const Command kTypesCommand{
    .name = "types",
    .summary = "List or show the types of a guest's kernel and its modules",
    .description = "From the BTF that the kernel and its modules carry in memory, or from --symbols VMLINUX.",
    .arguments = kArguments,
    .options = kOptions,
    .is_query = true,
    .examples = kExamples,
    .run = run,
};

}  // namespace vitrine::cli
