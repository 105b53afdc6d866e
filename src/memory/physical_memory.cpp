#include "vitrine/memory/physical_memory.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace vitrine {

std::string_view to_string(AccessMethod method) {
    switch (method) {
        case AccessMethod::mapped: return "mapped";
        case AccessMethod::copied: return "copied";
        case AccessMethod::image: return "image";
        case AccessMethod::synthetic: return "synthetic";
    }
    return "unknown";
}

std::vector<MemoryRange> PhysicalMemory::populated(MemoryRange within) {
    std::vector<MemoryRange> found;
    const std::uint64_t first = within.start.value;
    const std::uint64_t last = first + (within.size - 1);  // inclusive, so that a range may end at 2^64
    if (within.size == 0 || last < first) return found;
    for (const MemoryRange& range : ranges()) {
        if (range.size == 0) continue;
        const std::uint64_t low = std::max(first, range.start.value);
        const std::uint64_t high = std::min(last, range.start.value + (range.size - 1));
        if (low <= high) found.push_back({Gpa{low}, high - low + 1});
    }
    return found;
}

Result<void> PhysicalMemory::read_strided(Gpa start, std::uint64_t stride, std::uint32_t width, std::size_t count,
                                          std::span<std::byte> out) {
    constexpr std::size_t kBatch = 256;
    if (width == 0 || count == 0) return {};
    if (width > stride || out.size() / width < count) {
        return Error::make(Errc::usage, Origin::source, "strided read");
    }
    std::array<ReadOp, kBatch> ops;
    for (std::size_t done = 0; done < count;) {
        const std::size_t batch = std::min(kBatch, count - done);
        for (std::size_t i = 0; i < batch; ++i) {
            ops[i] = ReadOp{start.wrap_plus((done + i) * stride), out.subspan((done + i) * width, width)};
        }
        VITRINE_CHECK(read(std::span(ops).first(batch)));
        for (std::size_t i = 0; i < batch; ++i) {
            if (!ops[i].ok) std::memset(ops[i].out.data(), 0, ops[i].out.size());
        }
        done += batch;
    }
    return {};
}

Result<void> PhysicalMemory::read(Gpa address, std::span<std::byte> out) {
    ReadOp op{address, out};
    VITRINE_CHECK(read(std::span<ReadOp>(&op, 1)));
    if (!op.ok) return Error::make_at(op.status, Origin::source, address.value, "physical read");
    return {};
}

std::uint64_t PhysicalMemory::total_size() const {
    std::uint64_t sum = 0;
    for (const MemoryRange& range : ranges()) sum += range.size;
    return sum;
}

}  // namespace vitrine
