#include "support/vector_store.h"

#include <algorithm>
#include <cstring>

namespace vitrine::testing {

Result<void> VectorStore::read(std::span<StoreReadOp> ops) {
    ++calls;
    operations += ops.size();
    for (StoreReadOp& op : ops) {
        op.ok = op.offset <= bytes.size() && bytes.size() - op.offset >= op.out.size();
        op.status = Errc::out_of_range;
        if (op.ok && !op.out.empty()) std::memcpy(op.out.data(), bytes.data() + op.offset, op.out.size());
    }
    return {};
}

std::vector<StoreRange> VectorStore::populated(StoreRange within) {
    if (parts.empty()) return {within};
    std::vector<StoreRange> found;
    for (const StoreRange& part : parts) {
        const std::uint64_t low = std::max(part.offset, within.offset);
        const std::uint64_t high = std::min(part.offset + part.size, within.offset + within.size);
        if (low < high) found.push_back({low, high - low});
    }
    return found;
}

RamStore::Mapping VectorStore::mapping() const {
    if (!is_mapped) return {};
    return {bytes.data(), present.empty() ? nullptr : present.data(), &tainted};
}

}  // namespace vitrine::testing
