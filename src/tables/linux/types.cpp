// Named types of the kernel, then those of its modules.
#include <array>

#include "tables/row.h"
#include "vitrine/guest/linux_guest.h"

namespace vitrine {
namespace {

constexpr auto kSpec = std::to_array<Column>({
    {"name", ColumnType::text, "name of the type"},
    {"kind", ColumnType::text, "structure, union, enumeration, typedef, integer, ..."},
    {"size", ColumnType::integer, "size; NULL where it has none", Unit::bytes},
    {"members", ColumnType::integer, "members or enumerators"},
    {"id", ColumnType::integer, "number of the type in the kernel's BTF; a module's go on from there"},
    {"module", ColumnType::text, "module that defines it; NULL for the kernel itself"},
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

// The types of a catalog from `first` on. False: the sink wants no more.
bool emit(const TypeCatalog& types, TypeId first, const std::string& module, const QueryContext& context, RowSink& sink,
          WalkReport& report) {
    for (TypeId id = first; id < types.size(); ++id) {
        const Type& type = *types.type(id);
        const std::string_view name = types.type_name(id);
        if (!is_listed(type.kind) || name.empty()) continue;
        std::array<Value, kSpec.size()> row;
        row[0] = std::string(name);
        row[1] = std::string(to_string(type.kind));
        if (context.uses(2)) row[2] = tables::integer(types.size_of(id));
        if (type.kind == TypeKind::structure || type.kind == TypeKind::union_ || type.kind == TypeKind::enumeration)
            row[3] = std::int64_t{type.count};
        row[4] = std::int64_t{id};
        if (!module.empty()) row[5] = module;
        ++report.nodes;
        if (!sink.row(row)) {
            report.end = WalkEnd::stopped;
            return false;
        }
    }
    return true;
}

Result<WalkReport> generate(LinuxGuest& guest, QueryContext& context, RowSink& sink) {
    WalkReport report;
    if (!emit(*VITRINE_TRY(guest.types()), 1, {}, context, sink, report)) return report;
    const auto of_modules = guest.for_each_module_types({}, context.budget, [&](const ModuleTypes& of) {
        return emit(*of.types, of.first, of.module, context, sink, report);
    });
    if (!of_modules) {
        if (of_modules.error().code != Errc::not_found) return of_modules.error();
        return report;  // a kernel that keeps none
    }
    constexpr std::size_t kMostTold = 1000;
    for (std::size_t i = 0; i < of_modules->problems.size() && i < kMostTold; ++i)
        sink.diagnostic({Severity::warning, "types", of_modules->problems[i]});
    report.end = of_modules->walk.end;
    report.retries = of_modules->walk.retries;
    return report;
}

constexpr auto kGenerators = std::to_array<Generator>({{"linux", tables::on_linux<generate>}});

}  // namespace

extern const Table table_types;
const Table table_types{
    {"types", "Named types of the kernel (its own BTF, or the vmlinux given) and of its modules.", kSpec, kExamples},
    kGenerators};

}  // namespace vitrine
