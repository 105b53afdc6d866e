#include "os/linux/find/candidate_layouts.h"

#include <algorithm>
#include <utility>

namespace vitrine::linux_os {

bool CandidateLayouts::propose(MemoryLayout layout) {
    constexpr std::size_t kMost = 8;  // a hostile guest may tell another each time
    const auto same = std::find_if(layouts_.begin(), layouts_.end(),
                                   [&](const MemoryLayout& known) { return known.extents == layout.extents; });
    const auto next = layouts_.begin() + static_cast<std::ptrdiff_t>(current_) + 1;
    if (same < next || proposed_ == kMost) return false;
    ++proposed_;
    if (same == layouts_.end()) layouts_.insert(next, std::move(layout));
    else std::rotate(next, same, same + 1);
    return true;
}

}  // namespace vitrine::linux_os
