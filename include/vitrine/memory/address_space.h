// A virtual address space: (physical memory, page-table root, mode), with a small translation cache.
//
//   AddressSpace kernel(memory, PagingMode::x86_64_4level, root);
//   auto comm = VITRINE_TRY(kernel.read_c_string(task.wrap_plus(offset), 16));
//
// Not thread-safe: each thread uses its own copy (copies are cheap and start with an empty cache).
// Translations are cached until new_generation(): call it whenever the guest may have run on since.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "vitrine/base/address.h"
#include "vitrine/base/bytes.h"
#include "vitrine/base/result.h"
#include "vitrine/memory/paging.h"
#include "vitrine/memory/physical_memory.h"
#include "vitrine/memory/ram_store.h"

namespace vitrine {

struct GuestString {
    std::string bytes;       // without the NUL; any byte values, see base/text.h before showing it
    bool truncated = false;  // no NUL within the limit, or the next page could not be read
};

// As ReadOp, by virtual address.
struct VirtualReadOp {
    Gva address;
    std::span<std::byte> out;
    bool ok = false;
    Errc status = Errc::fault;
};

class AddressSpace {
public:
    AddressSpace(PhysicalMemory& memory, PagingMode mode, Gpa root);
    AddressSpace(const AddressSpace& other);
    AddressSpace& operator=(const AddressSpace& other);

    [[nodiscard]] PhysicalMemory& memory() const { return *memory_; }
    [[nodiscard]] PagingMode mode() const { return mode_; }
    [[nodiscard]] Gpa root() const { return root_; }
    // Goes on with other page tables of the same mode. Much cheaper than making another space: for one process after the other.
    void set_root(Gpa root) {
        root_ = root;
        forget();
    }

    Result<Translation> translate(Gva address) const;

    // All or nothing. Errors carry the first virtual address that could not be read.
    Result<void> read(Gva address, std::span<std::byte> out) const;
    // Up to the first hole: how many bytes were read (0 when the first page is a hole). Fails only if the source is gone.
    Result<std::size_t> read_prefix(Gva address, std::span<std::byte> out) const;
    // Many pieces; all physical reads are handed down in as few calls as possible. Each op has its own outcome.
    Result<void> read_batch(std::span<VirtualReadOp> ops) const;

    template <GuestScalar T>
    Result<T> read_value(Gva address) const {
        T value{};
        if (const std::byte* host = find(address, sizeof(T)); host != nullptr) [[likely]] {
            value = load<T>(host);
            if (direct_->copy_is_good()) return value;
        }
        VITRINE_CHECK(read(address, std::as_writable_bytes(std::span<T, 1>(&value, 1))));
        return value;
    }
    // A pointer as wide as those of this space.
    Result<Gva> read_pointer(Gva address) const {
        if (pointer_size() == 8) [[likely]]
            return Gva{VITRINE_TRY(read_value<std::uint64_t>(address))};
        return Gva{VITRINE_TRY(read_value<std::uint32_t>(address))};
    }
    // Bytes: 8 with 4- and 5-level paging, else 4.
    [[nodiscard]] std::uint32_t pointer_size() const {
        return mode_ == PagingMode::x86_64_4level || mode_ == PagingMode::x86_64_5level ? 8 : 4;
    }
    // At most max bytes are looked at; never reads across a page that is not needed.
    Result<GuestString> read_c_string(Gva address, std::size_t max) const;

    // Forgets cached translations, and tells the memory that the guest has run on.
    void new_generation() const;

private:
    // What the caches hold goes by a number of at most 52 bits. The bits above are the epoch's: what an earlier epoch put in is never found
    // again, and so everything is forgotten by one addition. All ones: empty; there is no such epoch.
    static constexpr unsigned kNumberBits = 52;
    static constexpr std::uint64_t kOneEpoch = std::uint64_t{1} << kNumberBits;
    static constexpr std::uint64_t kNoEpoch = ~(kOneEpoch - 1);
    struct Entry {
        std::uint64_t page = ~std::uint64_t{0};  // virtual page number, with the epoch
        std::uint64_t frame = 0;                 // guest-physical address of the 4 KiB piece
        const std::byte* host = nullptr;         // where the piece is mapped in this process, if it may be touched
    };
    // What the last table but one says of 2 MiB of virtual memory: a large page, or the table that maps it.
    struct Region {
        std::uint64_t number = ~std::uint64_t{0};  // virtual address >> 21, with the epoch
        std::uint64_t frame = 0;
        const std::byte* host = nullptr;  // where the table is mapped in this process, if it may be touched
        bool is_table = false;
    };
    // The table of regions for 1 GiB of virtual memory.
    struct Directory {
        std::uint64_t number = ~std::uint64_t{0};  // virtual address >> 30, with the epoch
        const std::byte* host = nullptr;
    };
    struct Outcome;
    struct Batch;
    static constexpr std::size_t kEntries = 512;
    static constexpr std::size_t kRegions = 512;
    static constexpr std::size_t kDirectories = 32;

    // Where `size` bytes at the address are mapped in this process, if they lie in one page that may be touched. What is
    // copied from there counts only if direct_->copy_is_good() holds afterwards.
    [[nodiscard]] const std::byte* find(Gva address, std::size_t size) const {
        const std::uint64_t inside = address.value % kPageSize;
        if (direct_ == nullptr || size > kPageSize - inside || generation_ != direct_->generation_) return nullptr;
        const Entry& entry = cache_[address.value / kPageSize % kEntries];
        if (entry.page == keyed(address.value / kPageSize) && entry.host != nullptr) [[likely]]
            return entry.host + inside;
        const std::byte* page = refill(address.value);
        return page != nullptr ? page + inside : nullptr;
    }
    [[nodiscard]] std::uint64_t keyed(std::uint64_t number) const { return number | epoch_; }
    [[nodiscard]] const std::byte* refill(std::uint64_t address) const;
    bool refill_region(std::uint64_t address, Region& region) const;
    void forget() const;
    void check_generation() const;
    Result<Entry> entry_for(Gva address) const;
    Result<std::uint64_t> frame_of(std::uint64_t address) const;
    template <class Reader>
    Result<std::uint64_t> walk(Reader& reader, std::uint64_t address) const;
    void remember(std::uint64_t address, unsigned shift, std::uint64_t frame, bool is_table) const;
    bool copy_from(const std::byte* host, std::span<std::byte> out) const;
    Result<void> read_in_page(Gva address, std::span<std::byte> out) const;
    Result<void> read_across(Gva address, std::span<std::byte> out) const;
    Outcome transfer(Gva address, std::span<std::byte> out) const;
    std::optional<Error> fill(Batch& batch, Gva address, std::size_t skip, std::span<std::byte> out,
                              VirtualReadOp* owner) const;
    [[nodiscard]] std::size_t salvage(const ReadOp& failed) const;

    PhysicalMemory* memory_;
    GuestMemory* direct_;  // memory_ when that is a GuestMemory, for reading without a virtual call; else null
    PagingMode mode_;
    Gpa root_;
    mutable std::uint64_t generation_ = 0;  // of *direct_, when the cache was last empty
    mutable std::uint64_t epoch_ = 0;       // a multiple of kOneEpoch, not kNoEpoch
    mutable std::array<Entry, kEntries> cache_{};
    mutable std::array<Region, kRegions> regions_{};
    mutable std::array<Directory, kDirectories> directories_{};
};

}  // namespace vitrine
