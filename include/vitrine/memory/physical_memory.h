// Guest-physical memory: the one way by which guest bytes enter the program. Bytes are copied out; no pointer into guest
// RAM ever leaves an implementation, so what was checked is what is used (no double fetch).
//
//   std::array<std::byte, 8> bytes;
//   VITRINE_CHECK(memory.read(Gpa{0x1000}, bytes));
//
// Thread safety: const methods of one object may be called from several threads only if the implementation says so.
// Lifetime: a PhysicalMemory outlives every AddressSpace made over it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "vitrine/base/address.h"
#include "vitrine/base/bytes.h"
#include "vitrine/base/result.h"

namespace vitrine {

// Guest RAM [start, start + size). Sizes are bytes.
struct MemoryRange {
    Gpa start;
    std::uint64_t size = 0;
    friend bool operator==(const MemoryRange&, const MemoryRange&) = default;
};

// One piece of a batch. After read(): ok tells whether all of out was filled; if not, status says why and out may
// be partly overwritten.
struct ReadOp {
    Gpa address;
    std::span<std::byte> out;
    bool ok = false;
    Errc status = Errc::fault;
};

// How bytes get here; part of each answer's account of itself.
enum class AccessMethod : std::uint8_t {
    mapped,     // copied out of a mapping of the guest's live RAM
    copied,     // copied out of the monitor's process by the kernel (process_vm_readv)
    image,      // a file that does not change
    synthetic,  // made by a test
};
[[nodiscard]] std::string_view to_string(AccessMethod);

class PhysicalMemory {
public:
    PhysicalMemory() = default;
    PhysicalMemory(const PhysicalMemory&) = delete;
    PhysicalMemory& operator=(const PhysicalMemory&) = delete;
    virtual ~PhysicalMemory() = default;

    // The guest's RAM: sorted by start, disjoint, not touching where the backing differs.
    [[nodiscard]] virtual std::span<const MemoryRange> ranges() const = 0;

    // Reads a batch; each op has its own outcome, an op may cross ranges that touch. The Result fails only when the
    // source itself is gone (the monitor ended: Errc::stale) or refuses everything (Errc::permission).
    // Never allocates host memory for parts of the guest's RAM that the guest has not touched.
    virtual Result<void> read(std::span<ReadOp> ops) = 0;

    // Parts of `within` that may hold anything but zeros, sorted; what is left out is known to read as zeros.
    // The default is the intersection with ranges().
    [[nodiscard]] virtual std::vector<MemoryRange> populated(MemoryRange within);

    // Copies `width` bytes from start + i * stride for i in [0, count) to out[i * width]. For scans that want a few bytes
    // of each page. Unreadable pieces become zeros. out.size() >= width * count. width <= stride.
    virtual Result<void> read_strided(Gpa start, std::uint64_t stride, std::uint32_t width, std::size_t count,
                                      std::span<std::byte> out);

    [[nodiscard]] virtual AccessMethod method() const = 0;

    // Forgets whatever an implementation keeps of earlier reads (caches, knowledge of holes): the guest has run on.
    virtual void new_generation() {}

    // One contiguous read, all or nothing.
    Result<void> read(Gpa address, std::span<std::byte> out);
    template <GuestScalar T>
    Result<T> read_value(Gpa address) {
        T value{};
        VITRINE_CHECK(read(address, std::as_writable_bytes(std::span<T, 1>(&value, 1))));
        return value;
    }
    // Sum of the sizes of ranges().
    [[nodiscard]] std::uint64_t total_size() const;
};

}  // namespace vitrine
