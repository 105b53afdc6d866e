// Middleware below a layout: hands reads on to another store and keeps each 4 KiB page that is read. The first read of a page
// counts: later ones are served from it, so that what was answered from a running guest can be answered again from the pages.
//
//   auto kept = std::make_shared<RecordingStore>(machine.memory().store(), machine.memory().layout());
//   GuestMemory memory(kept, machine.memory().layout());     // attach over this one
//   for (const RecordingStore::Page& page : kept->pages()) ...
//
// It has no mapping, so that no read of an AddressSpace goes round it. populated() and read_strided() are what a scan over all memory uses:
// they keep nothing, or a recording would hold all memory. What a scan then finds is read, and so kept.
// Not thread-safe. The inner store outlives it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "vitrine/memory/ram_store.h"

namespace vitrine {

class RecordingStore final : public RamStore {
public:
    // As many as a recording may hold: 1 GiB with bytes in them, and as many places in all.
    static constexpr std::size_t kMostPages = std::size_t{1} << 18;
    static constexpr std::size_t kMostPlaces = std::size_t{1} << 20;

    // Pages are cut where guest-physical pages of this layout begin; where it has none, at multiples of 4 KiB.
    RecordingStore(RamStore& inner, const MemoryLayout& layout);
    ~RecordingStore() override;

    [[nodiscard]] std::uint64_t size() const override { return inner_.size(); }
    [[nodiscard]] AccessMethod method() const override { return inner_.method(); }
    Result<void> read(std::span<StoreReadOp> ops) override;
    [[nodiscard]] std::vector<StoreRange> populated(StoreRange within) override { return inner_.populated(within); }
    Result<void> read_strided(std::uint64_t offset, std::uint64_t stride, std::uint32_t width, std::size_t count,
                              std::span<std::byte> out) override;
    void new_generation() override { inner_.new_generation(); }  // kept pages stay as they are

    enum class Content : std::uint8_t { bytes, zeros, unreadable };
    struct Page {
        StoreRange place;  // at most 4 KiB
        Content content = Content::bytes;
        std::span<const std::byte>
            bytes;  // place.size of them, empty unless content says so; good as long as the store
    };
    // By their offsets.
    [[nodiscard]] std::vector<Page> pages() const;
    // Was more read than a recording may hold? Reads beyond that failed with Errc::limit.
    [[nodiscard]] bool is_full() const { return full_; }

private:
    struct Kept;
    // A run of the store in which pages begin at offsets that leave the same rest.
    struct Segment {
        std::uint64_t begin = 0;
        std::uint64_t end = 0;
        std::uint64_t phase = 0;
    };

    [[nodiscard]] StoreRange page_at(std::uint64_t offset) const;
    Result<void> keep(StoreRange range);
    Result<void> fetch(std::vector<StoreRange>& missing);
    void copy(StoreReadOp& op) const;

    RamStore& inner_;
    std::vector<Segment> segments_;                 // all of the store, sorted
    std::unordered_map<std::uint64_t, Kept> kept_;  // by the offset of the page
    std::size_t with_bytes_ = 0;
    bool full_ = false;
};

}  // namespace vitrine
