#include "sources/qemu/composite_store.h"

#include <algorithm>
#include <utility>

namespace vitrine {

CompositeStore::CompositeStore(std::vector<std::shared_ptr<RamStore>> parts) {
    for (auto& store : parts) {
        const std::uint64_t size = store->size();
        parts_.push_back({size_, std::move(store)});
        size_ += size;
    }
}

AccessMethod CompositeStore::method() const {
    for (const Part& part : parts_) {
        if (part.store->method() != AccessMethod::mapped) return part.store->method();
    }
    return AccessMethod::mapped;
}

std::size_t CompositeStore::part_at(std::uint64_t offset) const {
    const auto after = std::upper_bound(parts_.begin(), parts_.end(), offset,
                                        [](std::uint64_t o, const Part& part) { return o < part.start; });
    return static_cast<std::size_t>(after - parts_.begin()) - 1;
}

Result<void> CompositeStore::read(std::span<StoreReadOp> ops) {
    struct Piece {
        StoreReadOp op;
        std::size_t owner;
    };
    std::vector<std::vector<Piece>> per_part(parts_.size());
    for (std::size_t i = 0; i < ops.size(); ++i) {
        StoreReadOp& op = ops[i];
        op.ok = op.offset <= size_ && size_ - op.offset >= op.out.size();
        if (!op.ok) {
            op.status = Errc::out_of_range;
            continue;
        }
        for (std::size_t done = 0; done < op.out.size();) {
            const std::uint64_t at = op.offset + done;
            const std::size_t index = part_at(at);
            const Part& part = parts_[index];
            const std::uint64_t left = part.start + part.store->size() - at;
            const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left, op.out.size() - done));
            per_part[index].push_back({{at - part.start, op.out.subspan(done, size), false, Errc::fault}, i});
            done += size;
        }
    }
    std::vector<StoreReadOp> batch;
    for (std::size_t index = 0; index < parts_.size(); ++index) {
        if (per_part[index].empty()) continue;
        batch.clear();
        for (const Piece& piece : per_part[index]) batch.push_back(piece.op);
        VITRINE_CHECK(parts_[index].store->read(batch));
        for (std::size_t k = 0; k < batch.size(); ++k) {
            StoreReadOp& op = ops[per_part[index][k].owner];
            if (batch[k].ok || !op.ok) continue;
            op.ok = false;
            op.status = batch[k].status;
        }
    }
    return {};
}

std::vector<StoreRange> CompositeStore::populated(StoreRange within) {
    std::vector<StoreRange> found;
    if (within.offset >= size_) return found;
    const std::uint64_t end = within.offset + std::min(within.size, size_ - within.offset);
    for (const Part& part : parts_) {
        const std::uint64_t from = std::max(within.offset, part.start);
        const std::uint64_t to = std::min(end, part.start + part.store->size());
        if (from >= to) continue;
        for (const StoreRange& r : part.store->populated({from - part.start, to - from})) {
            const std::uint64_t start = part.start + r.offset;
            if (!found.empty() && found.back().offset + found.back().size == start) found.back().size += r.size;
            else found.push_back({start, r.size});
        }
    }
    return found;
}

void CompositeStore::new_generation() {
    for (const Part& part : parts_) part.store->new_generation();
}

}  // namespace vitrine
