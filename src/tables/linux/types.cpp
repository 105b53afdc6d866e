// Named types of the kernel.
#include <array>

#include "tables/row.h"
#include "vitrine/guest/linux_guest.h"

namespace vitrine {
namespace {

constexpr auto kSpec = std::to_array<Column>({
    {"name", ColumnType::text, "name of the type"},
    {"kind", ColumnType::text, "structure, union, enumeration, typedef, integer, ..."},
    {"size", ColumnType::integer, "bytes; NULL where it has none"},
    {"members", ColumnType::integer, "members or enumerators"},
    {"id", ColumnType::integer, "number of the type in the kernel's BTF"},
});

constexpr auto kExamples = std::to_array<std::string_view>({"vitrine types qemu:web1 task_struct"});

bool is_listed(TypeKind kind) {
    switch (kind) {
        case TypeKind::integer:
        case TypeKind::structure:
        case TypeKind::union_:
        case TypeKind::enumeration:
        case TypeKind::typedef_:
        case TypeKind::floating: return true;
        default: return false;
    }
}

Result<WalkReport> generate(LinuxGuest& guest, QueryContext& context, RowSink& sink) {
    const TypeCatalog& types = *VITRINE_TRY(guest.types());
    WalkReport report;
    for (TypeId id = 1; id < types.size(); ++id) {
        const Type& type = *types.type(id);
        const std::string_view name = types.type_name(id);
        if (!is_listed(type.kind) || name.empty()) continue;
        std::array<Value, kSpec.size()> row;
        row[0] = std::string(name);
        row[1] = std::string(to_string(type.kind));
        if (context.uses(2)) {
            if (const auto size = types.size_of(id)) row[2] = static_cast<std::int64_t>(*size);
        }
        if (type.kind == TypeKind::structure || type.kind == TypeKind::union_ || type.kind == TypeKind::enumeration)
            row[3] = std::int64_t{type.count};
        row[4] = std::int64_t{id};
        ++report.nodes;
        if (!sink.row(row)) {
            report.end = WalkEnd::stopped;
            break;
        }
    }
    return report;
}

}  // namespace

extern const Table table_types;
const Table table_types{
    {"types", "Named types of the kernel, from its own BTF or from the vmlinux given.", kSpec, kExamples},
    generate};

}  // namespace vitrine
