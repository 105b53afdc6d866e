#include <fmt/format.h>

#include "commands/commands.h"
#include "commands/type_lookup.h"
#include "views/run_view.h"
#include "views/view_command.h"

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
