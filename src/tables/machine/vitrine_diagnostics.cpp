// What could not be read for the statement before: Vitrine's answers describe themselves.
#include <array>

#include "tables/row.h"
#include "vitrine/guest/guest.h"

namespace vitrine {
namespace {

constexpr auto kSpec = std::to_array<Column>({
    {"table_name", ColumnType::text, "table that was read; empty: the statement itself failed"},
    {"severity", ColumnType::text,
     "info, warning (a value or a row is missing) or error (the answer as a whole is in doubt)"},
    {"address", ColumnType::address, "guest-virtual address where it was; NULL where there is none in particular"},
    {"reason", ColumnType::text, "what could not be read or was odd"},
});

constexpr auto kExamples = std::to_array<std::string_view>(
    {"vitrine sql qemu:web1 \"SELECT count(*) FROM processes; SELECT * FROM vitrine_diagnostics\""});
constexpr auto kQueries = std::to_array<std::string_view>(
    {"SELECT table_name, severity, count(*) FROM vitrine_diagnostics GROUP BY table_name, severity"});

std::string_view name_of(Severity severity) {
    switch (severity) {
        case Severity::info: return "info";
        case Severity::warning: return "warning";
        case Severity::error: return "error";
    }
    return "error";
}

Result<WalkReport> generate(Guest&, QueryContext& context, RowSink& sink) {
    WalkReport report;
    for (const Diagnostic& diagnostic : context.previous_diagnostics) {
        const std::array<Value, kSpec.size()> row = {
            diagnostic.table, std::string(name_of(diagnostic.severity)),
            diagnostic.address == 0 ? Value() : tables::address(diagnostic.address), diagnostic.text};
        ++report.nodes;
        if (!sink.row(row)) {
            report.end = WalkEnd::stopped;
            break;
        }
    }
    return report;
}

constexpr auto kGenerators = std::to_array<Generator>({{"", generate}});

}  // namespace

extern const Table table_vitrine_diagnostics;
const Table table_vitrine_diagnostics{
    {"vitrine_diagnostics", "What could not be read for the statement before this one.", kSpec, kExamples, kQueries},
    kGenerators};

}  // namespace vitrine
