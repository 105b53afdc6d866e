// Page-table walks over guest-physical memory: x86 32-bit, PAE, 4-level and 5-level, with large pages.
// Intel SDM vol. 3A chapter 4, AMD APM vol. 2 chapter 5.
//
// Page tables are hostile: self-mapped, aliased, or pointing outside RAM. A single translation is bounded by the number of
// levels; enumeration is bounded by a budget.
#pragma once

#include <cstdint>
#include <string_view>

#include "vitrine/base/address.h"
#include "vitrine/base/function_ref.h"
#include "vitrine/base/result.h"
#include "vitrine/base/walk.h"
#include "vitrine/memory/physical_memory.h"

namespace vitrine {

enum class PagingMode : std::uint8_t { none, x86_32, x86_pae, x86_64_4level, x86_64_5level };
[[nodiscard]] std::string_view to_string(PagingMode);

// Physical address bits of a page-table entry, bits 12..51.
inline constexpr std::uint64_t kPteAddressMask = 0x000f'ffff'ffff'f000;

struct Translation {
    Gpa address;                  // of the byte asked for
    std::uint64_t page_size = 0;  // 4 KiB, 2 MiB, 4 MiB or 1 GiB
    bool writable = false;        // the AND over all levels
    bool user = false;            // the AND over all levels
    bool executable = false;      // no level sets NX (bits taken as if EFER.NXE = 1 in 64-bit and PAE modes)
};

// Is the address canonical in this mode? In 32-bit modes: below 4 GiB.
[[nodiscard]] bool is_canonical(PagingMode mode, Gva address);

// The mode that the control registers say is on.
[[nodiscard]] PagingMode paging_mode_from_registers(std::uint64_t cr0, std::uint64_t cr4, std::uint64_t efer);

// Translates one address. root is the physical address of the top table: CR3 with its low 12 bits cleared (5 bits for
// PAE). Errors: not_present (address = the entry's guest-physical address, what = the level), fault (a table lies
// outside RAM), malformed (reserved bits set where the CPU would fault), out_of_range (not canonical).
Result<Translation> translate(PhysicalMemory& memory, PagingMode mode, Gpa root, Gva address);

// A run of virtually contiguous memory, mapped physically contiguous with equal permissions.
struct MappedRun {
    Gva va;
    Gpa pa;
    std::uint64_t size = 0;
    bool writable = false;
    bool user = false;
    bool executable = false;
    friend bool operator==(const MappedRun&, const MappedRun&) = default;
};

// Visits all runs in [first, last], merged, by rising address. The budget counts table entries that are present; a table
// met more often than an honest kernel has reason to is read again but stays bounded by the budget.
// A table that cannot be read is skipped (its range is simply not mapped) and the end is WalkEnd::fault.
WalkReport for_each_mapping(PhysicalMemory& memory, PagingMode mode, Gpa root, Gva first, Gva last, WalkBudget budget,
                            FunctionRef<bool(const MappedRun&)> visit);

}  // namespace vitrine
