// Static per-CPU variables: each CPU has a copy of the area between __per_cpu_start and __per_cpu_end, __per_cpu_offset[cpu] further on
// (mm/percpu.c, setup_per_cpu_areas).
#include <fmt/format.h>

#include <algorithm>

#include "os/linux/identify/facts.h"
#include "os/linux/per_cpu_offsets.h"

namespace vitrine::linux_os {
namespace {

constexpr std::uint64_t kMostOfUnit = std::uint64_t{1} << 26;

// The last symbol at or below the address within the static area. Where that area is linked at 0 (kernels before 6.15),
// its symbols are absolute ones, which SymbolTable::nearest() leaves out.
std::string variable_name(const SymbolTable& symbols, Gva first, Gva end, Gva at) {
    std::optional<Symbol> best;
    for (std::size_t i = 0; i < symbols.size(); ++i) {
        const Symbol symbol = symbols.at(i);
        if (!symbol.module.empty() || symbol.address < first || symbol.address >= end || symbol.address > at) continue;
        // Of the marks of the area itself there is no use.
        if (symbol.name.starts_with("__per_cpu_")) continue;
        if (!best || symbol.address > best->address) best = symbol;
    }
    if (!best) return "no variable";
    const std::uint64_t offset = at.value - best->address.value;
    return offset == 0 ? std::string(best->name) : fmt::format("{}+{:#x}", best->name, offset);
}

struct Unit {
    Gva first, end;          // of the static area, as linked
    std::uint64_t size = 0;  // of a CPU's area, with what was allocated behind the static part
};

std::optional<Unit> unit_of(const LinuxGuest& guest, const SymbolTable& symbols) {
    const auto first = symbols.address_of("__per_cpu_start");
    const auto end = symbols.address_of("__per_cpu_end");
    if (!first || !end || *end <= *first || end->value - first->value > kMostOfUnit) return std::nullopt;
    Unit unit{*first, *end, end->value - first->value};
    if (const auto at = symbols.address_of("pcpu_unit_size")) {
        const auto size = guest.space().read_value<std::int32_t>(*at);
        if (size && *size > 0) unit.size = std::clamp(static_cast<std::uint64_t>(*size), unit.size, kMostOfUnit);
    }
    return unit;
}

}  // namespace

void add_per_cpu(Facts& facts, LinuxGuest& guest, const SymbolNames& names, Gva address) {
    const auto offsets = per_cpu_offsets(guest);
    const auto unit = unit_of(guest, names.table());
    if (!offsets || !unit) {
        facts.unknown("per-cpu", "this kernel's __per_cpu_offset, nr_cpu_ids or __per_cpu_start cannot be read");
        return;
    }
    for (std::size_t cpu = 0; cpu < offsets->size(); ++cpu) {
        const std::uint64_t inside = address.value - unit->first.wrap_plus((*offsets)[cpu]).value;
        if (inside >= unit->size) continue;
        const Gva linked = unit->first.wrap_plus(inside);
        facts.add("per-cpu",
                  linked < unit->end
                      ? fmt::format("CPU {}, {}", cpu, variable_name(names.table(), unit->first, unit->end, linked))
                      : fmt::format("CPU {}, allocated, {:#x} behind the static variables", cpu,
                                    linked.value - unit->end.value));
        return;
    }
}

}  // namespace vitrine::linux_os
