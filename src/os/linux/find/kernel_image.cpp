#include "os/linux/find/kernel_image.h"

#include <algorithm>

namespace vitrine::linux_os {
namespace {

// Bounds what hostile tables can make us keep: an honest image has fewer than 200 runs (one a permission change, and one
// a freed piece of init memory).
constexpr std::size_t kMaxRuns = 4096;
constexpr std::uint64_t kMinImage = 1u << 20;

}  // namespace

std::uint64_t KernelImage::mapped_bytes() const {
    std::uint64_t sum = 0;
    for (const MappedRun& run : runs) sum += run.size;
    return sum;
}

bool KernelImage::covers(Gpa page) const {
    return std::any_of(runs.begin(), runs.end(),
                       [page](const MappedRun& run) { return page.value - run.pa.value < run.size; });
}

bool KernelImage::has_writable() const {
    return std::any_of(runs.begin(), runs.end(), [](const MappedRun& run) { return run.writable; });
}

std::vector<MappedRun> KernelImage::read_only_data() const {
    std::vector<MappedRun> found;
    for (const MappedRun& run : runs) {
        if (!run.writable && !run.executable && run.size >= (1u << 20)) found.push_back(run);
    }
    return found;
}

Result<KernelImage> image_of_root(PhysicalMemory& memory, PagingMode mode, Gpa root) {
    KernelImage image;
    image.paging = mode;
    image.root = root;
    // 1 GiB of 4 KiB pages is 262,144 entries; twice that is more than an honest table can hold here.
    const WalkBudget budget{1u << 19, std::chrono::milliseconds(500)};
    const WalkReport report = for_each_mapping(memory, mode, root, Gva{kLowestText}, Gva{kHighestImage - 1}, budget,
                                               [&](const MappedRun& run) {
                                                   if (run.user)
                                                       return true;  // the kernel never maps its image for user mode
                                                   if (image.runs.empty()) {
                                                       image.text_va = run.va;
                                                       image.text_pa = run.pa;
                                                   }
                                                   // Modules and fixmaps in this range lie at another distance from their physical pages.
                                                   if (run.pa.value - run.va.value == image.virtual_to_physical())
                                                       image.runs.push_back(run);
                                                   return image.runs.size() < kMaxRuns;
                                               });
    if (image.runs.empty() || image.mapped_bytes() < kMinImage) {
        return Error::make_at(Errc::not_found, Origin::guest, root.value,
                              "no kernel image mapped by this page-table root");
    }
    if (report.end == WalkEnd::budget || report.end == WalkEnd::stopped) {
        return Error::make_at(Errc::limit, Origin::guest, root.value,
                              "page tables map more than a kernel image can have");
    }
    return image;
}

}  // namespace vitrine::linux_os
