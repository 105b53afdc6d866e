#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "os/linux/find/routes.h"

namespace vitrine::linux_os {
RouteReport find_by_registers(PhysicalMemory& memory, std::span<const VcpuState> vcpus, Patience& whole,
                              TryImage try_image) {
    RouteReport report;
    std::vector<Gpa> tried;
    std::size_t long_mode = 0;
    for (const VcpuState& vcpu : vcpus) {
        if (whole.is_exhausted()) break;
        const Patience::Spending spending(whole);
        const PagingMode mode = paging_mode_from_registers(vcpu.cr0, vcpu.cr4, vcpu.efer);
        if (mode != PagingMode::x86_64_4level && mode != PagingMode::x86_64_5level) continue;
        ++long_mode;
        // The low 12 bits of CR3 are the PCID. Bit 12 tells the user half only where there is one: without page-table isolation
        // a root may have it set, so it is cleared only when the root as it stands has no kernel data.
        const Gpa root{vcpu.cr3 & kPteAddressMask};
        for (const Gpa candidate : {root, Gpa{root.value & ~kPageSize}}) {
            if (std::find(tried.begin(), tried.end(), candidate) != tried.end()) continue;
            tried.push_back(candidate);
            auto image = image_of_root(memory, mode, candidate);
            if (!image || !image->has_writable()) continue;
            image->route = FindRoute::registers;
            image->found_by = fmt::format("vCPU {}, CR3 {:#x}", vcpu.index, vcpu.cr3);
            if (try_image(std::move(*image))) {
                report.accepted = true;
                return report;
            }
            break;
        }
    }
    report.account = fmt::format(
        "registers: {} vCPUs, {} in 64-bit mode, none on the page tables of a Linux kernel that passes the checks",
        vcpus.size(), long_mode);
    return report;
}

}  // namespace vitrine::linux_os
