// Symbols of the kernel and its modules, as /proc/kallsyms lists them.
#include <array>

#include "tables/row.h"
#include "vitrine/guest/linux_guest.h"

namespace vitrine {
namespace {

enum : std::size_t { kAddress, kType, kName, kModule, kColumns };

constexpr auto kSpec = std::to_array<Column>({
    index({"address", ColumnType::address, "value of the symbol; for per-CPU symbols of older kernels an offset"}),
    {"type", ColumnType::text, "letter as nm prints it; from Linux 6.16 on data may carry T"},
    index({"name", ColumnType::text, "name"}),
    {"module", ColumnType::text, "module it belongs to; NULL for the kernel itself"},
});
static_assert(kSpec.size() == kColumns);

constexpr auto kExamples = std::to_array<std::string_view>({"vitrine symbols qemu:web1 --name 'tcp_v4_*'"});

constexpr auto kQueries = std::to_array<std::string_view>({
    "SELECT addr(address), module FROM symbols WHERE name = 'init_task'",
    "SELECT module, count(*) FROM symbols GROUP BY module ORDER BY 2 DESC",
    "SELECT name FROM symbols WHERE address = (SELECT address FROM symbols WHERE name = 'linux_banner')",
});

constexpr auto kInvariants = std::to_array<Invariant>({
    {"one _text", "SELECT count(*) FROM symbols WHERE name = '_text' AND module IS NULL HAVING count(*) <> 1"},
    {"symbols of modules belong to loaded modules",
     "SELECT name, module FROM symbols WHERE module IS NOT NULL AND module NOT IN (SELECT name FROM kernel_modules)"},
});

class RowMaker {
public:
    RowMaker(const QueryContext& context, RowSink& sink) : context_(context), sink_(sink) {}

    bool emit(const Symbol& symbol) {
        row_[kAddress] = tables::address(symbol.address);
        if (context_.uses(kType)) tables::set_text(row_[kType], std::string_view(&symbol.type, 1));
        tables::set_text(row_[kName], symbol.name);
        if (symbol.module.empty()) row_[kModule] = Value();
        else tables::set_text(row_[kModule], symbol.module);
        ++report_.nodes;
        if (sink_.row(row_)) return true;
        report_.end = WalkEnd::stopped;
        return false;
    }
    [[nodiscard]] const WalkReport& report() const { return report_; }

private:
    const QueryContext& context_;
    RowSink& sink_;
    WalkReport report_;
    std::array<Value, kColumns> row_;
};

Result<WalkReport> generate(LinuxGuest& guest, QueryContext& context, RowSink& sink) {
    const SymbolTable& symbols = *VITRINE_TRY(guest.symbols());
    if (!guest.symbols_missing().empty()) sink.diagnostic({Severity::warning, "symbols", guest.symbols_missing()});
    RowMaker rows(context, sink);
    const std::string* name = context.wanted_text(kName);
    const auto address = context.wanted_address(kAddress);
    if (name != nullptr || address) {
        const auto found = name != nullptr ? symbols.all_by_name(*name) : symbols.all_by_address(Gva{*address});
        for (const Symbol& symbol : found) {
            if (!rows.emit(symbol)) break;
        }
        return rows.report();
    }
    for (std::size_t i = 0; i < symbols.size(); ++i) {
        if (!rows.emit(symbols.at(i))) break;
    }
    return rows.report();
}

constexpr auto kGenerators = std::to_array<Generator>({{"linux", tables::on_linux<generate>}});

}  // namespace

extern const Table table_symbols;
const Table table_symbols{
    {"symbols", "Symbols of the kernel (kallsyms) and of its modules.", kSpec, kExamples, kQueries, kInvariants},
    kGenerators};

}  // namespace vitrine
