// Middleware: keeps copies of 4 KiB pages until new_generation(), so that chasing pointers through memory that has to be
// copied by the kernel costs one system call a page rather than one a field. Within a generation a page reads the same
// each time. Reads of kBypass bytes and more go straight through.
#pragma once

#include <cstddef>
#include <memory>
#include <unordered_map>
#include <vector>

#include "vitrine/memory/physical_memory.h"

namespace vitrine {

class PageCache final : public PhysicalMemory {
public:
    static constexpr std::size_t kBypass = 64 * 1024;
    // inner outlives the cache. At most max_pages copies are kept; past that the cache is emptied and begins anew.
    // (A limit below 128 is taken as 128: what one call may want at once.)
    explicit PageCache(PhysicalMemory& inner, std::size_t max_pages = 4096);
    ~PageCache() override;

    [[nodiscard]] std::span<const MemoryRange> ranges() const override { return inner_.ranges(); }
    Result<void> read(std::span<ReadOp> ops) override;
    using PhysicalMemory::read;
    [[nodiscard]] std::vector<MemoryRange> populated(MemoryRange within) override { return inner_.populated(within); }
    Result<void> read_strided(Gpa start, std::uint64_t stride, std::uint32_t width, std::size_t count,
                              std::span<std::byte> out) override {
        return inner_.read_strided(start, stride, width, count, out);
    }
    [[nodiscard]] AccessMethod method() const override { return inner_.method(); }
    void new_generation() override;

private:
    struct Fetch;
    struct Slab;

    void add_slab();
    [[nodiscard]] const std::byte* find(std::uint64_t number) const;
    bool copy_cached(ReadOp& op) const;
    Result<std::size_t> fetch(std::span<ReadOp> ops);
    void drop_all();

    PhysicalMemory& inner_;
    std::size_t max_pages_;
    std::vector<Slab> slabs_;                              // what all pages lie in
    std::unordered_map<std::uint64_t, std::byte*> pages_;  // by guest-physical page number
    std::vector<std::byte*> spare_;                        // pages to be used, or used again
    mutable std::uint64_t last_number_ = 0;
    mutable const std::byte* last_ = nullptr;  // the page found last
};

}  // namespace vitrine
