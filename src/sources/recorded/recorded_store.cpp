#include "sources/recorded/recorded_store.h"

#include <algorithm>
#include <cstring>

namespace vitrine {

// Index of the first page that begins behind the offset.
std::size_t RecordedStore::first_after(std::uint64_t offset) const {
    const auto after = std::upper_bound(pages_.begin(), pages_.end(), offset,
                                        [](std::uint64_t at, const RecordedPage& page) { return at < page.offset; });
    return static_cast<std::size_t>(after - pages_.begin());
}

const RecordedPage* RecordedStore::find(std::uint64_t offset) const {
    // Whoever reads on is often in the page found last, or the next.
    const std::size_t hint = last_.load(std::memory_order_relaxed);
    for (std::size_t i = hint; i < std::min(hint + 2, pages_.size()); ++i) {
        if (offset < pages_[i].offset || offset - pages_[i].offset >= pages_[i].size) continue;
        last_.store(i, std::memory_order_relaxed);
        return &pages_[i];
    }
    const std::size_t after = first_after(offset);
    if (after == 0 || offset - pages_[after - 1].offset >= pages_[after - 1].size) return nullptr;
    last_.store(after - 1, std::memory_order_relaxed);
    return &pages_[after - 1];
}

void RecordedStore::copy(StoreReadOp& op) const {
    op.ok = true;
    for (std::size_t done = 0; done < op.out.size();) {
        const std::uint64_t at = op.offset + done;
        const RecordedPage* page = find(at);
        if (page == nullptr || page->content == RecordedPage::kUnreadable) {
            op.ok = false;
            op.status = page == nullptr ? Errc::not_recorded : Errc::fault;
            return;
        }
        const auto inside = static_cast<std::size_t>(at - page->offset);
        const std::size_t take = std::min(page->size - inside, op.out.size() - done);
        if (page->content == RecordedPage::kZeros) std::memset(op.out.data() + done, 0, take);
        else std::memcpy(op.out.data() + done, contents_.data() + page->content * kPageSize + inside, take);
        done += take;
    }
}

Result<void> RecordedStore::read(std::span<StoreReadOp> ops) {
    for (StoreReadOp& op : ops) {
        op.ok = op.offset <= size_ && size_ - op.offset >= op.out.size();
        op.status = Errc::out_of_range;
        if (op.ok) copy(op);
    }
    return {};
}

std::vector<StoreRange> RecordedStore::populated(StoreRange within) {
    std::vector<StoreRange> found;
    if (within.offset >= size_) return found;
    const std::uint64_t end = within.offset + std::min(within.size, size_ - within.offset);
    const std::size_t after = first_after(within.offset);
    for (std::size_t i = after == 0 ? 0 : after - 1; i < pages_.size() && pages_[i].offset < end; ++i) {
        if (pages_[i].content >= RecordedPage::kUnreadable) continue;
        const std::uint64_t low = std::max(within.offset, pages_[i].offset);
        const std::uint64_t high = std::min(end, pages_[i].offset + pages_[i].size);
        if (low >= high) continue;
        if (!found.empty() && found.back().offset + found.back().size == low) found.back().size += high - low;
        else found.push_back({low, high - low});
    }
    return found;
}

}  // namespace vitrine
