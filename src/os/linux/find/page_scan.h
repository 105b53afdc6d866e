// Reads a few bytes at the start of every populated page.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "os/linux/find/routes.h"

namespace vitrine::linux_os {

// Calls visit(page, bytes) for every page; stops when it returns true and returns true then.
template <std::size_t Width, class Visit>
bool for_each_page_start(PhysicalMemory& memory, Progress progress, Visit visit) {
    constexpr std::uint64_t kChunk = 64u << 20;
    const std::uint64_t total = memory.total_size();
    std::uint64_t seen = 0;
    std::vector<std::byte> bytes;
    for (const MemoryRange& range : memory.ranges()) {
        const std::uint64_t end = range.start.value + range.size;
        for (std::uint64_t at = (range.start.value + kPageSize - 1) / kPageSize * kPageSize;
             at < end && end - at >= kPageSize;) {
            const std::uint64_t size = std::min(kChunk, end - at) / kPageSize * kPageSize;
            for (const MemoryRange& part : memory.populated({Gpa{at}, size})) {
                const std::uint64_t first = part.start.value / kPageSize * kPageSize;
                const std::uint64_t last = std::min(
                    end, (part.start.value + part.size + kPageSize - 1) / kPageSize * kPageSize);
                const std::size_t pages = static_cast<std::size_t>((last - first) / kPageSize);
                bytes.assign(pages * Width, std::byte{0});
                if (!memory.read_strided(Gpa{first}, kPageSize, Width, pages, bytes)) continue;
                for (std::size_t i = 0; i < pages; ++i) {
                    if (visit(Gpa{first + i * kPageSize}, bytes.data() + i * Width)) return true;
                }
            }
            at += size;
            seen += size;
            progress(static_cast<double>(seen) / static_cast<double>(total));
        }
    }
    return false;
}

}  // namespace vitrine::linux_os
