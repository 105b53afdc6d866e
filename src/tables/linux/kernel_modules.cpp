// Loaded kernel modules, as lsmod and /proc/modules list them.
#include <array>

#include "os/linux/module_list.h"
#include "tables/row.h"

namespace vitrine {
namespace {

constexpr auto kSpec = std::to_array<Column>({
    index({"name", ColumnType::text, "name of the module"}),
    {"size", ColumnType::integer, "memory it keeps, as /proc/modules", Unit::bytes},
    {"used_by", ColumnType::text, "modules that use it, separated by commas; \"-\" when none; NULL when unknown"},
    {"status", ColumnType::text, "Live, Loading, Unloading, or Unformed"},
    {"address", ColumnType::address, "address of its text"},
    {"references", ColumnType::integer, "number of users"},
    {"taints", ColumnType::address, "taint bits it set"},
    {"module", ColumnType::address, "address of struct module"},
});

constexpr auto kExamples = std::to_array<std::string_view>({"vitrine modules qemu:web1"});

constexpr auto kQueries = std::to_array<std::string_view>({
    "SELECT name, size, used_by FROM kernel_modules ORDER BY size DESC",
    "SELECT name, addr(taints) FROM kernel_modules WHERE taints <> 0",
});

constexpr auto kInvariants = std::to_array<Invariant>({
    {"a module once", "SELECT name FROM kernel_modules GROUP BY name HAVING count(*) > 1"},
    {"text of two modules does not begin in one place",
     "SELECT address FROM kernel_modules WHERE address IS NOT NULL GROUP BY address HAVING count(*) > 1"},
    {"a loaded module takes memory", "SELECT name FROM kernel_modules WHERE status = 'Live' AND size <= 0"},
});

// enum module_state, include/linux/module.h.
Value status(std::optional<std::uint32_t> state) {
    constexpr std::array<const char*, 4> kNames = {"Live", "Loading", "Unloading", "Unformed"};
    if (!state || *state >= kNames.size()) return {};
    return std::string(kNames[*state]);
}

std::string join(const std::vector<std::string>& names) {
    if (names.empty()) return "-";
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : ",") + name;
    return text;
}

Result<WalkReport> generate(LinuxGuest& guest, QueryContext& context, RowSink& sink) {
    linux_os::ModuleSnapshot snapshot = VITRINE_TRY(linux_os::list_modules(guest, context.budget));
    // Of all modules together: each of a forged list may name the same users again.
    std::size_t uses_left = 1u << 16;
    const std::string* wanted = context.wanted_text(0);
    Deadline deadline(context.budget.time);
    for (const linux_os::ModuleRecord& module : snapshot.modules) {
        if (deadline.passed_now()) {
            snapshot.report.end = WalkEnd::budget;
            break;
        }
        if (wanted != nullptr && (!module.name_known || module.name != *wanted)) continue;
        std::array<Value, kSpec.size()> row;
        if (module.name_known) row[0] = module.name;
        row[1] = tables::integer(module.size);
        if (module.base_known) row[4] = tables::address(module.base);
        if (context.uses(2)) {
            if (const auto users = linux_os::users_of(guest, module, uses_left)) row[2] = join(*users);
        }
        row[3] = status(module.state);
        row[5] = tables::integer(module.references);
        if (module.taints) row[6] = tables::address(*module.taints);
        row[7] = tables::address(module.address);
        if (!sink.row(row)) {
            snapshot.report.end = WalkEnd::stopped;
            break;
        }
    }
    return snapshot.report;
}

constexpr auto kGenerators = std::to_array<Generator>({{"linux", tables::on_linux<generate>}});

}  // namespace

extern const Table table_kernel_modules;
const Table table_kernel_modules{{"kernel_modules", "Loaded kernel modules, from the kernel's module list.", kSpec,
                                  kExamples, kQueries, kInvariants},
                                 kGenerators};

}  // namespace vitrine
