#include "tables/support/catalog_walk.h"

namespace vitrine::tables {
namespace {

using Visit = FunctionRef<bool(const CatalogPart&, TypeId)>;

bool visit_part(const CatalogPart& part, const TypesWanted& wanted, Visit visit) {
    if (wanted.name != nullptr) {
        for (const TypeId id : part.types.all_named(*wanted.name)) {
            if (id >= part.first && !visit(part, id)) return false;
        }
        return true;
    }
    for (TypeId id = part.first; id < part.types.size(); ++id) {
        if (!visit(part, id)) return false;
    }
    return true;
}

}  // namespace

Result<WalkReport> for_each_type(LinuxGuest& guest, const TypesWanted& wanted, WalkBudget budget,
                                 std::string_view table, RowSink& sink, Visit visit) {
    WalkReport report;
    const TypeCatalog& kernel = *VITRINE_TRY(guest.types());
    if (wanted.module == nullptr && !visit_part({kernel, 1, {}}, wanted, visit)) {
        report.end = WalkEnd::stopped;
        return report;
    }
    ModuleTypesWanted modules;
    if (wanted.name != nullptr) modules.type = *wanted.name;
    if (wanted.module != nullptr) modules.module = *wanted.module;
    std::size_t number = 0;
    const auto walked = guest.for_each_module_types(modules, budget, [&](const ModuleTypes& of) {
        return visit_part({*of.types, of.first, of.module, ++number}, wanted, visit);
    });
    if (!walked) {
        if (walked.error().code != Errc::not_found) return walked.error();
        return report;  // a kernel that keeps none
    }
    constexpr std::size_t kMostTold = 1000;
    for (std::size_t i = 0; i < walked->problems.size() && i < kMostTold; ++i)
        sink.diagnostic({Severity::warning, std::string(table), walked->problems[i]});
    report.end = walked->walk.end;
    report.retries = walked->walk.retries;
    return report;
}

}  // namespace vitrine::tables
