#include "os/linux/find/describe.h"

#include <algorithm>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace vitrine::linux_os {
namespace {

// "Linux version 6.1.0-56-cloud-amd64 (debian-kernel@...) ..." -> the third word.
std::string release_of(std::string_view banner) {
    constexpr std::string_view kPrefix = "Linux version ";
    banner.remove_prefix(std::min(kPrefix.size(), banner.size()));
    return std::string(banner.substr(0, banner.find(' ')));
}

// Page-table isolation: the user half of the kernel's own root pair holds entries of its own (init_top_pgt is then 8 KiB).
bool has_page_table_isolation(PhysicalMemory& memory, const ProvenKernel& kernel) {
    const auto own = memory.read_value<std::uint64_t>(kernel.root.wrap_plus(511 * 8));
    const auto user = memory.read_value<std::uint64_t>(kernel.root.wrap_plus(kPageSize + 511 * 8));
    return own && user && (*user & 1) != 0 && (*user & kPteAddressMask) != 0 &&
           (*user & kPteAddressMask) != (*own & kPteAddressMask) && kernel.root.offset_in(2 * kPageSize) == 0;
}

}  // namespace

KernelInfo describe(PhysicalMemory& memory, const ProvenKernel& kernel, const MemoryLayout& layout) {
    KernelInfo info;
    info.banner = kernel.banner;
    info.release = release_of(kernel.banner);
    info.build_id = kernel.build_id;
    info.text_va = kernel.image.text_va;
    info.text_pa = kernel.image.text_pa;
    info.kaslr_slide = kernel.image.text_va.value - kLowestText;
    info.paging = kernel.image.paging;
    info.page_table_isolation = has_page_table_isolation(memory, kernel);
    info.root = kernel.root;
    info.route = kernel.image.route;
    info.from_cache = kernel.layout_source == LayoutSource::cache;
    info.symbols_from = fmt::format("kallsyms: {} symbols, {}", kernel.kallsyms.num_syms,
                                    to_string(kernel.kallsyms.addressing));
    info.types_from = kernel.layout_account;
    info.memory_layout = layout.name;
    info.checks = kernel.checks;
    return info;
}

}  // namespace vitrine::linux_os
