// The RAM of a recording: the pages that were kept. Any other place fails with Errc::not_recorded, it never reads as zeros; only scans,
// which look for something in all memory, pass over what is not there.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sources/recorded/recorded_file.h"
#include "vitrine/memory/ram_store.h"

namespace vitrine {

class RecordedStore final : public RamStore {
public:
    // What parse_recording() accepted. Thread safety: all members may run in several threads at a time.
    RecordedStore(std::uint64_t size, std::vector<RecordedPage> pages, LargeBuffer contents)
        : size_(size), pages_(std::move(pages)), contents_(std::move(contents)) {}

    [[nodiscard]] std::uint64_t size() const override { return size_; }
    [[nodiscard]] AccessMethod method() const override { return AccessMethod::image; }
    Result<void> read(std::span<StoreReadOp> ops) override;
    // The recorded pages that are not zeros.
    [[nodiscard]] std::vector<StoreRange> populated(StoreRange within) override;

private:
    [[nodiscard]] std::size_t first_after(std::uint64_t offset) const;
    [[nodiscard]] const RecordedPage* find(std::uint64_t offset) const;
    void copy(StoreReadOp& op) const;

    std::uint64_t size_;
    std::vector<RecordedPage> pages_;  // sorted, disjoint
    LargeBuffer contents_;
    mutable std::atomic<std::size_t> last_{0};  // a hint only
};

}  // namespace vitrine
