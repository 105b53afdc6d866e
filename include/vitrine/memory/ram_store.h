// Where a guest's RAM bytes are kept on the host, addressed by offset, and the layout that says which guest-physical
// address is kept at which offset. One GuestMemory joins the two; every source (a live QEMU, a raw image, an ELF core)
// provides a store and one or more layouts.
//
// A source that cannot know its layout for certain (a raw file with a PCI hole; a QEMU without a monitor socket)
// offers several candidates, likeliest first; the guest's own memory proves one of them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "vitrine/base/result.h"
#include "vitrine/memory/physical_memory.h"

namespace vitrine {

struct StoreRange {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
    friend bool operator==(const StoreRange&, const StoreRange&) = default;
};

struct StoreReadOp {
    std::uint64_t offset = 0;
    std::span<std::byte> out;
    bool ok = false;
    Errc status = Errc::fault;
};

class RamStore {
public:
    RamStore() = default;
    RamStore(const RamStore&) = delete;
    RamStore& operator=(const RamStore&) = delete;
    virtual ~RamStore() = default;

    [[nodiscard]] virtual std::uint64_t size() const = 0;
    [[nodiscard]] virtual AccessMethod method() const = 0;
    // Each op lies within [0, size()) or fails with Errc::out_of_range. Same contract as PhysicalMemory::read.
    virtual Result<void> read(std::span<StoreReadOp> ops) = 0;
    // Parts of `within` that may hold anything but zeros.
    [[nodiscard]] virtual std::vector<StoreRange> populated(StoreRange within) { return {within}; }
    // See PhysicalMemory::read_strided; the default reads whole chunks of populated parts.
    virtual Result<void> read_strided(std::uint64_t offset, std::uint64_t stride, std::uint32_t width,
                                      std::size_t count, std::span<std::byte> out);
    virtual void new_generation() {}

    // For stores whose bytes are mapped into this process: bytes at offset (checked to lie inside) can be copied from
    // base + offset without a call per read. Null base means: use read(). Fixed for the life of the store, except for the
    // contents of the bitmap.
    // page_present, when not null, is a bitmap of 4 KiB pages that may be touched without allocating host memory; a page
    // whose bit is clear goes through read(). Bits are set and cleared by other threads: read them with __atomic_load_n.
    // tainted, when not null, is to be looked at after each copy: non-zero means that some page of the mapping vanished
    // under a reader and was replaced by zeros, so that the copy proves nothing and read() must be asked instead.
    struct Mapping {
        const std::byte* base = nullptr;
        const std::uint64_t* page_present = nullptr;
        const std::atomic<std::uint32_t>* tainted = nullptr;
    };
    [[nodiscard]] virtual Mapping mapping() const { return {}; }
};

struct LayoutExtent {
    Gpa start;
    std::uint64_t size = 0;
    std::uint64_t offset = 0;  // in the store
    friend bool operator==(const LayoutExtent&, const LayoutExtent&) = default;
};

struct MemoryLayout {
    std::string name;                   // e.g. "hole at 0xc0000000 (pc)", "monitor's memory tree"
    std::vector<LayoutExtent> extents;  // sorted by start, disjoint
    bool certain = false;               // told by the monitor or by the file's own headers, not guessed

    // Two extents over a store of `size` bytes: below the hole as is, the rest from 4 GiB on. hole_start >= size: one extent.
    static MemoryLayout with_hole(std::uint64_t store_size, std::uint64_t hole_start, std::string name);
    // Sorted, non-empty, no overlap in guest-physical space, all inside the store. (Aliases in the store are allowed.)
    [[nodiscard]] Result<void> validate(std::uint64_t store_size) const;
};

// Parts of a store that its source cannot tell apart: where a layout shows one of them, another of them may belong.
struct InterchangeableParts {
    std::uint64_t size = 0;              // of each
    std::vector<std::uint64_t> offsets;  // in the store, disjoint
};

// PhysicalMemory over a store and a layout. The layout can be replaced while nothing is being read.
class GuestMemory final : public PhysicalMemory {
public:
    // Precondition: layout.validate(store.size()) holds.
    GuestMemory(std::shared_ptr<RamStore> store, MemoryLayout layout);

    void set_layout(MemoryLayout layout);
    [[nodiscard]] const MemoryLayout& layout() const { return layout_; }
    [[nodiscard]] RamStore& store() const { return *store_; }

    [[nodiscard]] std::span<const MemoryRange> ranges() const override { return ranges_; }
    Result<void> read(std::span<ReadOp> ops) override;
    using PhysicalMemory::read;
    // As PhysicalMemory's, without a virtual call where the store is mapped.
    template <GuestScalar T>
    Result<T> read_value(Gpa address) {
        if (const std::byte* at = resolve(address.value, sizeof(T)); at != nullptr) {
            const T value = load<T>(at);
            if (copy_is_good()) return value;
        }
        return PhysicalMemory::read_value<T>(address);
    }
    [[nodiscard]] std::vector<MemoryRange> populated(MemoryRange within) override;
    Result<void> read_strided(Gpa start, std::uint64_t stride, std::uint32_t width, std::size_t count,
                              std::span<std::byte> out) override;
    [[nodiscard]] AccessMethod method() const override { return store_->method(); }
    void new_generation() override;

    // Reads inside the layout that the store refused, since this was made; and where in guest-physical memory the last of them began.
    struct Refusals {
        std::uint64_t count = 0;
        Gpa last;
    };
    [[nodiscard]] Refusals refusals() const {
        return {refused_.load(std::memory_order_relaxed), Gpa{last_refused_.load(std::memory_order_relaxed)}};
    }

private:
    friend class AddressSpace;
    struct Pieces;

    void note_refusal(Gpa address) {
        refused_.fetch_add(1, std::memory_order_relaxed);
        last_refused_.store(address.value, std::memory_order_relaxed);
    }

    [[nodiscard]] const LayoutExtent* find_extent(std::uint64_t address) const;
    // Where the bytes lie in this process, if they lie in one extent of a mapped store and may all be touched; else null.
    // The pointer stays inside this layer, is good until generation_ changes, and what was copied from it counts only if
    // copy_is_good() holds afterwards.
    [[nodiscard]] const std::byte* resolve(std::uint64_t address, std::size_t size) const;
    [[nodiscard]] bool pages_present(std::uint64_t offset, std::size_t size) const;
    [[nodiscard]] bool copy_is_good() const {
        // Keeps the copy before the look at the flag; x86 does not reorder two loads, the compiler could.
        std::atomic_thread_fence(std::memory_order_acquire);
        return mapping_.tainted == nullptr || mapping_.tainted->load(std::memory_order_relaxed) == 0;
    }
    bool copy_mapped(std::uint64_t address, std::span<std::byte> out) const;

    std::shared_ptr<RamStore> store_;
    MemoryLayout layout_;
    std::vector<MemoryRange> ranges_;
    RamStore::Mapping mapping_;
    std::uint64_t generation_ = 1;                     // changes whenever what was read may no longer hold
    mutable std::atomic<std::size_t> last_extent_{0};  // a hint only
    std::atomic<std::uint64_t> refused_{0};
    std::atomic<std::uint64_t> last_refused_{0};
};

inline const LayoutExtent* GuestMemory::find_extent(std::uint64_t address) const {
    const auto& extents = layout_.extents;
    const std::size_t hint = last_extent_.load(std::memory_order_relaxed);
    if (hint < extents.size() && address - extents[hint].start.value < extents[hint].size) return &extents[hint];
    std::size_t low = 0;
    std::size_t high = extents.size();
    while (low < high) {  // the first extent that starts above the address
        const std::size_t middle = low + (high - low) / 2;
        if (extents[middle].start.value <= address) low = middle + 1;
        else high = middle;
    }
    if (low == 0 || address - extents[low - 1].start.value >= extents[low - 1].size) return nullptr;
    last_extent_.store(low - 1, std::memory_order_relaxed);
    return &extents[low - 1];
}

inline bool GuestMemory::pages_present(std::uint64_t offset, std::size_t size) const {
    if (mapping_.page_present == nullptr) return true;
    std::uint64_t page = offset / kPageSize;
    const std::uint64_t last = (offset + size - 1) / kPageSize;
    if (page == last) [[likely]] {
        return (__atomic_load_n(mapping_.page_present + page / 64, __ATOMIC_RELAXED) >> (page % 64) & 1) != 0;
    }
    while (page <= last) {
        const std::uint64_t word = __atomic_load_n(mapping_.page_present + page / 64, __ATOMIC_RELAXED);
        if (page % 64 == 0 && last - page >= 63) {
            if (word != ~std::uint64_t{0}) return false;
            page += 64;
            continue;
        }
        if ((word >> (page % 64) & 1) == 0) return false;
        ++page;
    }
    return true;
}

inline const std::byte* GuestMemory::resolve(std::uint64_t address, std::size_t size) const {
    if (mapping_.base == nullptr || size == 0) return nullptr;
    const LayoutExtent* extent = find_extent(address);
    if (extent == nullptr) return nullptr;
    const std::uint64_t inside = address - extent->start.value;
    if (extent->size - inside < size) return nullptr;
    const std::uint64_t offset = extent->offset + inside;
    return pages_present(offset, size) ? mapping_.base + offset : nullptr;
}

}  // namespace vitrine
