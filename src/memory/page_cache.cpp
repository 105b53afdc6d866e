#include "vitrine/memory/page_cache.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>

#include "base/large_buffer.h"

namespace vitrine {
namespace {

constexpr std::uint64_t first_page(const ReadOp& op) { return op.address.value / kPageSize; }
// Inclusive; an operation whose end wraps past 2^64 touches no page and is left to the inner memory to refuse.
constexpr std::uint64_t last_page(const ReadOp& op) { return (op.address.value + (op.out.size() - 1)) / kPageSize; }

constexpr bool is_cacheable(const ReadOp& op) {
    return !op.out.empty() && op.out.size() < PageCache::kBypass && op.address.plus(op.out.size() - 1).has_value();
}

}  // namespace

// Pages that are wanted and not kept, fetched in one call.
struct PageCache::Fetch {
    static constexpr std::size_t kMax = 128;
    static_assert(kMax > kBypass / kPageSize + 1, "one operation must fit");

    std::size_t count = 0;
    std::array<std::uint64_t, kMax> numbers;
    std::array<ReadOp, kMax> ops;
    std::array<std::byte*, kMax> pages;
};

// Pages are taken from the host's kernel many at a time: one by one, the faults would cost as much as the reading.
struct PageCache::Slab {
    static constexpr std::size_t kFirst = 128 * 1024;
    static constexpr std::size_t kLargest = 1024 * 1024;
    LargeBuffer buffer;
};

void PageCache::add_slab() {
    const std::size_t size = slabs_.empty() ? Slab::kFirst : std::min(slabs_.back().buffer.size() * 2, Slab::kLargest);
    LargeBuffer buffer(size);
    if (buffer.size() != size) throw std::bad_alloc();
    // A wish: refused before Linux 5.14.
    madvise(buffer.data(), size, MADV_POPULATE_WRITE);
    for (std::size_t at = size; at > 0; at -= kPageSize) spare_.push_back(buffer.data() + at - kPageSize);
    slabs_.push_back({std::move(buffer)});
}

PageCache::PageCache(PhysicalMemory& inner, std::size_t max_pages)
    : inner_(inner), max_pages_(std::max(max_pages, Fetch::kMax)) {}
PageCache::~PageCache() = default;

void PageCache::new_generation() {
    drop_all();
    inner_.new_generation();
}

void PageCache::drop_all() {
    for (const auto& [number, page] : pages_) spare_.push_back(page);
    pages_.clear();
    last_ = nullptr;
}

const std::byte* PageCache::find(std::uint64_t number) const {
    if (last_ != nullptr && last_number_ == number) return last_;
    const auto found = pages_.find(number);
    if (found == pages_.end()) return nullptr;
    last_number_ = number;
    last_ = found->second;
    return last_;
}

bool PageCache::copy_cached(ReadOp& op) const {
    std::uint64_t address = op.address.value;
    for (std::span<std::byte> rest = op.out; !rest.empty();) {
        const std::byte* page = find(address / kPageSize);
        if (page == nullptr) return false;
        const std::uint64_t inside = address % kPageSize;
        const auto take = static_cast<std::size_t>(std::min<std::uint64_t>(kPageSize - inside, rest.size()));
        std::memcpy(rest.data(), page + inside, take);
        rest = rest.subspan(take);
        address += take;
    }
    op.ok = true;
    return true;
}

// Fetches the missing pages of as many operations as fit in one call; returns how many operations that were.
Result<std::size_t> PageCache::fetch(std::span<ReadOp> ops) {
    Fetch fetch;
    std::size_t covered = 0;
    for (const ReadOp& op : ops) {
        if (is_cacheable(op)) {
            const std::size_t pages = static_cast<std::size_t>(last_page(op) - first_page(op)) + 1;
            if (fetch.count + pages > Fetch::kMax) break;
            for (std::uint64_t number = first_page(op); number <= last_page(op); ++number) {
                const auto end = fetch.numbers.begin() + static_cast<std::ptrdiff_t>(fetch.count);
                if (pages_.contains(number) || std::find(fetch.numbers.begin(), end, number) != end) continue;
                fetch.numbers[fetch.count++] = number;
            }
        }
        ++covered;
    }
    if (pages_.size() + fetch.count > max_pages_) {
        drop_all();  // also pages that these operations want: those are then read uncached, once
    }
    for (std::size_t i = 0; i < fetch.count; ++i) {
        if (spare_.empty()) add_slab();
        fetch.pages[i] = spare_.back();
        spare_.pop_back();
        fetch.ops[i] = ReadOp{Gpa{fetch.numbers[i] * kPageSize}, {fetch.pages[i], kPageSize}};
    }
    const auto outcome = inner_.read(std::span(fetch.ops).first(fetch.count));
    for (std::size_t i = 0; i < fetch.count; ++i) {
        if (outcome && fetch.ops[i].ok) pages_.emplace(fetch.numbers[i], fetch.pages[i]);
        else spare_.push_back(fetch.pages[i]);
    }
    VITRINE_CHECK(outcome);
    return covered;
}

Result<void> PageCache::read(std::span<ReadOp> ops) {
    while (!ops.empty()) {
        if (is_cacheable(ops.front()) && copy_cached(ops.front())) {
            ops = ops.subspan(1);
            continue;
        }
        const std::size_t covered = VITRINE_TRY(fetch(ops));
        for (ReadOp& op : ops.first(covered)) {
            // A page that lies only partly in RAM cannot be kept: ask for just the bytes.
            if (!is_cacheable(op) || !copy_cached(op)) VITRINE_CHECK(inner_.read(std::span<ReadOp>(&op, 1)));
        }
        ops = ops.subspan(covered);
    }
    return {};
}

}  // namespace vitrine
