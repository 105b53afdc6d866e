#include "support/synthetic_memory.h"

#include <algorithm>
#include <cstring>

namespace vitrine::testing {

Result<void> SyntheticMemory::read(std::span<ReadOp> ops) {
    ++calls;
    if (gone) return Error::make(Errc::stale, Origin::source, "synthetic memory");
    for (ReadOp& op : ops) {
        ++operations;
        op.ok = copy(op.address.value, op.out);
        if (!op.ok) op.status = Errc::fault;
    }
    return {};
}

void SyntheticMemory::write(Gpa address, std::span<const std::byte> bytes) {
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const std::uint64_t at = address.value + i;
        auto& page = pages_[at / kPageSize];
        if (!page) page = std::make_unique<std::byte[]>(kPageSize);
        page[at % kPageSize] = bytes[i];
    }
}

bool SyntheticMemory::copy(std::uint64_t address, std::span<std::byte> out) const {
    for (std::size_t done = 0; done < out.size();) {
        const std::uint64_t at = address + done;
        const MemoryRange* range = find(at);
        if (range == nullptr) return false;
        std::uint64_t take = kPageSize - at % kPageSize;
        take = std::min<std::uint64_t>({take, out.size() - done, range->size - (at - range->start.value)});
        const auto page = pages_.find(at / kPageSize);
        if (page == pages_.end()) std::memset(out.data() + done, 0, take);
        else std::memcpy(out.data() + done, page->second.get() + at % kPageSize, take);
        done += take;
    }
    return true;
}

const MemoryRange* SyntheticMemory::find(std::uint64_t address) const {
    for (const MemoryRange& range : ranges_) {
        if (address - range.start.value < range.size) return &range;
    }
    return nullptr;
}

}  // namespace vitrine::testing
