// Symbols of the kernel and its modules, as /proc/kallsyms lists them.
#include <array>

#include "tables/row.h"
#include "vitrine/guest/linux_guest.h"

namespace vitrine {
namespace {

constexpr auto kSpec = std::to_array<Column>({
    {"address", ColumnType::address, "value of the symbol; for per-CPU symbols of older kernels an offset"},
    {"type", ColumnType::text, "letter as nm prints it; from Linux 6.16 on data may carry T"},
    {"name", ColumnType::text, "name"},
    {"module", ColumnType::text, "module it belongs to; NULL for the kernel itself"},
});

constexpr auto kExamples = std::to_array<std::string_view>({"vitrine symbols qemu:web1 --name 'tcp_v4_*'"});

Result<WalkReport> generate(LinuxGuest& guest, QueryContext& context, RowSink& sink) {
    const SymbolTable& symbols = *VITRINE_TRY(guest.symbols());
    if (!guest.symbols_missing().empty()) sink.diagnostic({Severity::warning, "symbols", guest.symbols_missing()});
    WalkReport report;
    for (std::size_t i = 0; i < symbols.size(); ++i) {
        const Symbol symbol = symbols.at(i);
        std::array<Value, kSpec.size()> row;
        row[0] = tables::address(symbol.address);
        if (context.uses(1)) row[1] = std::string(1, symbol.type);
        row[2] = std::string(symbol.name);
        if (!symbol.module.empty()) row[3] = std::string(symbol.module);
        ++report.nodes;
        if (!sink.row(row)) {
            report.end = WalkEnd::stopped;
            break;
        }
    }
    return report;
}

constexpr auto kGenerators = std::to_array<Generator>({{"linux", tables::on_linux<generate>}});

}  // namespace

extern const Table table_symbols;
const Table table_symbols{{"symbols", "Symbols of the kernel (kallsyms) and of its modules.", kSpec, kExamples},
                          kGenerators};

}  // namespace vitrine
