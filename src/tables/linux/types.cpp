// Named types of the kernel, then those of its modules.
#include <array>

#include "tables/support/catalog_walk.h"
#include "types/named_kind.h"

namespace vitrine {
namespace {

enum : std::size_t { kName, kKind, kSize, kMembers, kId, kModule, kColumns };

constexpr auto kSpec = std::to_array<Column>({
    index({"name", ColumnType::text, "name of the type"}),
    {"kind", ColumnType::text, "structure, union, enumeration, typedef, integer, ..."},
    {"size", ColumnType::integer, "size; NULL where it has none", Unit::bytes},
    {"members", ColumnType::integer, "members or enumerators"},
    {"id", ColumnType::integer, "number of the type in the kernel's BTF; a module's go on from there"},
    index({"module", ColumnType::text, "module that defines it; NULL for the kernel itself"}),
});
static_assert(kSpec.size() == kColumns);

constexpr auto kExamples = std::to_array<std::string_view>({"vitrine types qemu:web1 task_struct"});

constexpr auto kQueries = std::to_array<std::string_view>({
    "SELECT kind, size, module FROM types WHERE name = 'task_struct'",
    "SELECT kind, count(*) FROM types WHERE module IS NULL GROUP BY kind",
});

constexpr auto kInvariants = std::to_array<Invariant>({
    {"a type is listed once", "SELECT id, module, count(*) FROM types GROUP BY id, module HAVING count(*) > 1"},
    {"a structure of members has a size",
     "SELECT name FROM types WHERE kind IN ('structure', 'union') AND members > 0 AND size IS NULL"},
});

Result<WalkReport> generate(LinuxGuest& guest, QueryContext& context, RowSink& sink) {
    std::size_t rows = 0;
    std::array<Value, kColumns> row;
    const tables::TypesWanted wanted{context.wanted_text(kName), context.wanted_text(kModule)};
    const auto visit = [&](const tables::CatalogPart& part, TypeId id) {
        const Type& type = *part.types.type(id);
        const std::string_view name = part.types.type_name(id);
        if (!is_named_kind(type.kind) || name.empty()) return true;
        tables::set_text(row[kName], name);
        tables::set_text(row[kKind], to_string(type.kind));
        if (context.uses(kSize)) row[kSize] = tables::integer(part.types.size_of(id));
        const bool has_members = type.kind == TypeKind::structure || type.kind == TypeKind::union_ ||
                                 type.kind == TypeKind::enumeration;
        row[kMembers] = has_members ? Value(std::int64_t{type.count}) : Value();
        row[kId] = std::int64_t{id};
        if (part.module.empty()) row[kModule] = Value();
        else tables::set_text(row[kModule], part.module);
        ++rows;
        return sink.row(row);
    };
    auto report = tables::for_each_type(guest, wanted, context.budget, "types", sink, visit);
    if (report) report->nodes = rows;
    return report;
}

constexpr auto kGenerators = std::to_array<Generator>({{"linux", tables::on_linux<generate>}});

}  // namespace

extern const Table table_types;
const Table table_types{{"types", "Named types of the kernel (its own BTF, or the vmlinux given) and of its modules.",
                         kSpec, kExamples, kQueries, kInvariants},
                        kGenerators};

}  // namespace vitrine
