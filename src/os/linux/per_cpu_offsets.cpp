#include "os/linux/per_cpu_offsets.h"

#include <span>

#include "os/linux/find/prove.h"

namespace vitrine::linux_os {

Result<std::vector<std::uint64_t>> per_cpu_offsets(const LinuxGuest& guest) {
    constexpr std::uint32_t kMostCpus = 8192;  // NR_CPUS of x86-64
    const KernelSymbols& known = guest.proven().symbols;
    const auto table = known.get(SymbolId::per_cpu_offset);
    const auto count = known.get(SymbolId::nr_cpu_ids);
    if (!table || !count) return Error::make(Errc::not_found, Origin::symbols, "__per_cpu_offset or nr_cpu_ids");
    const auto cpus = VITRINE_TRY(guest.space().read_value<std::uint32_t>(*count));
    if (cpus == 0 || cpus > kMostCpus)
        return Error::make_at(Errc::malformed, Origin::guest, count->value, "nr_cpu_ids");
    std::vector<std::uint64_t> offsets(cpus);
    VITRINE_CHECK(guest.space().read(*table, std::as_writable_bytes(std::span(offsets))));
    return offsets;
}

}  // namespace vitrine::linux_os
