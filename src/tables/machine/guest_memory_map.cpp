// The guest-physical memory map, as the layout in force has it.
#include <array>

#include "tables/row.h"
#include "vitrine/guest/guest.h"

namespace vitrine {
namespace {

constexpr auto kSpec = std::to_array<Column>({
    {"start", ColumnType::address, "first guest-physical address"},
    {"end", ColumnType::address, "first guest-physical address behind it"},
    {"size", ColumnType::integer, "length", Unit::bytes},
    {"offset", ColumnType::address, "where it is kept in the monitor's RAM blocks or in the image"},
    {"access", ColumnType::text, "how it is read: mapped, copied, image"},
    {"layout", ColumnType::text, "which layout this is, and whether it was told or proven"},
});

constexpr auto kExamples = std::to_array<std::string_view>({"vitrine table guest_memory_map qemu:web1"});

constexpr auto kQueries = std::to_array<std::string_view>(
    {"SELECT addr(start), addr(\"end\"), size, access FROM guest_memory_map",
     "SELECT sum(size) FROM guest_memory_map"});

constexpr auto kInvariants = std::to_array<Invariant>({
    {"a range is as long as it says", "SELECT start FROM guest_memory_map WHERE size <= 0 OR \"end\" - start <> size"},
    {"ranges do not overlap",
     "SELECT a.start FROM guest_memory_map a JOIN guest_memory_map b ON a.start <> b.start "
     "WHERE NOT addr_lt(b.start, a.start) AND addr_lt(b.start, a.\"end\")"},
});

Result<WalkReport> generate(Guest& guest, QueryContext&, RowSink& sink) {
    const GuestMemory& memory = guest.machine().memory();
    WalkReport report;
    for (const LayoutExtent& extent : memory.layout().extents) {
        const std::array<Value, kSpec.size()> row = {
            tables::address(extent.start.value),     tables::address(extent.start.value + extent.size),
            static_cast<std::int64_t>(extent.size),  tables::address(extent.offset),
            std::string(to_string(memory.method())), memory.layout().name};
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

extern const Table table_guest_memory_map;
const Table table_guest_memory_map{
    {"guest_memory_map", "Guest-physical memory: what lies where.", kSpec, kExamples, kQueries, kInvariants},
    kGenerators};

}  // namespace vitrine
