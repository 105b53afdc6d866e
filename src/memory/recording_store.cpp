#include "vitrine/memory/recording_store.h"

#include <algorithm>
#include <cstring>

namespace vitrine {
namespace {

using PageBytes = std::array<std::byte, kPageSize>;

constexpr std::size_t kBatch = 256;

bool is_zero(std::span<const std::byte> bytes) {
    return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

struct RecordingStore::Kept {
    std::uint32_t size = 0;
    Content content = Content::zeros;
    Errc status = Errc::fault;         // of what is unreadable
    std::unique_ptr<PageBytes> bytes;  // null unless content says so
};

RecordingStore::RecordingStore(RamStore& inner, const MemoryLayout& layout) : inner_(inner) {
    std::vector<LayoutExtent> extents = layout.extents;
    std::stable_sort(extents.begin(), extents.end(),
                     [](const LayoutExtent& a, const LayoutExtent& b) { return a.offset < b.offset; });
    std::uint64_t next = 0;
    for (const LayoutExtent& extent : extents) {  // several may show the same bytes: the first decides
        const std::uint64_t end = std::min(extent.offset + extent.size, inner.size());
        const std::uint64_t begin = std::max(extent.offset, next);
        if (begin >= end) continue;
        if (begin > next) segments_.push_back({next, begin, 0});
        segments_.push_back({begin, end, (extent.offset - extent.start.value) % kPageSize});
        next = end;
    }
    if (next < inner.size()) segments_.push_back({next, inner.size(), 0});
}

RecordingStore::~RecordingStore() = default;

// Precondition: the offset lies in the store.
StoreRange RecordingStore::page_at(std::uint64_t offset) const {
    const auto after = std::upper_bound(segments_.begin(), segments_.end(), offset,
                                        [](std::uint64_t at, const Segment& s) { return at < s.begin; });
    const Segment& segment = *std::prev(after);
    const std::uint64_t inside = (offset - segment.phase) % kPageSize;
    const std::uint64_t begin = offset - std::min(inside, offset - segment.begin);
    const std::uint64_t end = std::min(segment.end, offset + (kPageSize - inside));
    return {begin, end - begin};
}

Result<void> RecordingStore::fetch(std::vector<StoreRange>& missing) {
    std::vector<std::unique_ptr<PageBytes>> buffers(missing.size());
    std::vector<StoreReadOp> ops(missing.size());
    for (std::size_t i = 0; i < missing.size(); ++i) {
        buffers[i] = std::make_unique<PageBytes>();
        ops[i] = StoreReadOp{missing[i].offset,
                             std::span(*buffers[i]).first(static_cast<std::size_t>(missing[i].size))};
    }
    VITRINE_CHECK(inner_.read(ops));
    for (std::size_t i = 0; i < missing.size(); ++i) {
        Kept page;
        page.size = static_cast<std::uint32_t>(missing[i].size);
        if (!ops[i].ok) {
            page.content = Content::unreadable;
            page.status = ops[i].status;
        } else if (!is_zero(ops[i].out)) {
            page.content = Content::bytes;
            page.bytes = std::move(buffers[i]);
            ++with_bytes_;
        }
        kept_.emplace(missing[i].offset, std::move(page));
    }
    missing.clear();
    return {};
}

// Sees to it that all pages of the range are kept, as far as there is room.
Result<void> RecordingStore::keep(StoreRange range) {
    std::vector<StoreRange> missing;
    const std::uint64_t end = range.offset + range.size;
    for (std::uint64_t at = range.offset; at < end;) {
        const StoreRange page = page_at(at);
        at = page.offset + page.size;
        if (kept_.contains(page.offset)) continue;
        if (with_bytes_ + missing.size() >= kMostPages || kept_.size() + missing.size() >= kMostPlaces) {
            full_ = true;
            break;
        }
        missing.push_back(page);
        if (missing.size() == kBatch) VITRINE_CHECK(fetch(missing));
    }
    if (missing.empty()) return {};
    return fetch(missing);
}

void RecordingStore::copy(StoreReadOp& op) const {
    op.ok = true;
    for (std::size_t done = 0; done < op.out.size();) {
        const std::uint64_t at = op.offset + done;
        const StoreRange place = page_at(at);
        const auto take = static_cast<std::size_t>(
            std::min<std::uint64_t>(place.offset + place.size - at, op.out.size() - done));
        const auto found = kept_.find(place.offset);
        if (found == kept_.end() || found->second.content == Content::unreadable) {
            op.ok = false;
            op.status = found == kept_.end() ? Errc::limit : found->second.status;
            return;
        }
        if (found->second.content == Content::zeros) std::memset(op.out.data() + done, 0, take);
        else std::memcpy(op.out.data() + done, found->second.bytes->data() + (at - place.offset), take);
        done += take;
    }
}

Result<void> RecordingStore::read(std::span<StoreReadOp> ops) {
    for (StoreReadOp& op : ops) {
        op.ok = op.offset <= size() && size() - op.offset >= op.out.size();
        op.status = Errc::out_of_range;
        if (!op.ok || op.out.empty()) continue;
        VITRINE_CHECK(keep({op.offset, op.out.size()}));
        copy(op);
    }
    return {};
}

Result<void> RecordingStore::read_strided(std::uint64_t offset, std::uint64_t stride, std::uint32_t width,
                                          std::size_t count, std::span<std::byte> out) {
    VITRINE_CHECK(inner_.read_strided(offset, stride, width, count, out));
    if (kept_.empty()) return {};
    // What is kept stands, whatever the guest has made of it since.
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint64_t at = offset + i * stride;
        if (at >= size() || size() - at < width) break;
        const StoreRange page = page_at(at);
        const auto found = kept_.find(page.offset);
        if (found == kept_.end()) continue;
        const std::uint64_t take = std::min<std::uint64_t>(width, page.offset + page.size - at);
        if (found->second.content != Content::bytes)
            std::memset(out.data() + i * width, 0, static_cast<std::size_t>(take));
        else
            std::memcpy(out.data() + i * width, found->second.bytes->data() + (at - page.offset),
                        static_cast<std::size_t>(take));
    }
    return {};
}

std::vector<RecordingStore::Page> RecordingStore::pages() const {
    std::vector<Page> all;
    all.reserve(kept_.size());
    for (const auto& [offset, page] : kept_) {
        const std::span<const std::byte> bytes = page.bytes ? std::span<const std::byte>(*page.bytes)
                                                            : std::span<const std::byte>();
        all.push_back({{offset, page.size}, page.content, bytes.first(page.bytes ? page.size : 0)});
    }
    std::sort(all.begin(), all.end(), [](const Page& a, const Page& b) { return a.place.offset < b.place.offset; });
    return all;
}

}  // namespace vitrine
