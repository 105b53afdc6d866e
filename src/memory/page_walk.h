// What one x86 page-table entry says, and the walk over the levels. Shared by translate(), for_each_mapping() and the
// address space, which brings its own way of reading an entry.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "vitrine/memory/paging.h"

namespace vitrine::walk {

struct Level {
    const char* name;  // for errors: which level failed
    unsigned shift;    // lowest bit of the virtual address that this level's index takes
    unsigned index_bits;
    std::uint64_t reserved;        // bits that must be clear in an entry that points to a table or a 4 KiB page
    std::uint64_t reserved_large;  // and in one that maps a large page
    bool may_be_large;
    bool has_permissions;  // false: the level's entries carry neither R/W nor U/S (PAE's top level)
};

inline constexpr std::uint64_t kPresent = 1u << 0;
inline constexpr std::uint64_t kWrite = 1u << 1;
inline constexpr std::uint64_t kUser = 1u << 2;
inline constexpr std::uint64_t kLarge = 1u << 7;
inline constexpr std::uint64_t kNoExecute = std::uint64_t{1} << 63;

constexpr std::uint64_t bits(unsigned first, unsigned last) {
    return (~std::uint64_t{0} >> (63 - last)) & ~((std::uint64_t{1} << first) - 1);
}

// Reserved bits as in the SDM vol. 3A tables 4-4 to 4-20, with MAXPHYADDR taken as 52: a narrower one is not known here,
// and an address above it lies outside RAM anyway. Bits 52..62 are free for software with 4 and 5 levels, reserved in PAE.
inline constexpr std::array<Level, 5> kLevels64{{
    {"page table level 5 (PML5)", 48, 9, kLarge, 0, false, true},
    {"page table level 4 (PML4)", 39, 9, kLarge, 0, false, true},
    {"page table level 3 (PDPT)", 30, 9, 0, bits(13, 29), true, true},
    {"page table level 2 (PD)", 21, 9, 0, bits(13, 20), true, true},
    {"page table level 1 (PT)", 12, 9, 0, 0, false, true},
}};
inline constexpr std::array<Level, 3> kLevelsPae{{
    {"page table level 3 (PDPT)", 30, 2, bits(1, 2) | bits(5, 8) | bits(52, 63), 0, false, false},
    {"page table level 2 (PD)", 21, 9, bits(52, 62), bits(52, 62) | bits(13, 20), true, true},
    {"page table level 1 (PT)", 12, 9, bits(52, 62), 0, false, true},
}};
inline constexpr std::array<Level, 2> kLevels32{{
    {"page table level 2 (PD)", 22, 10, 0, bits(21, 21), true, true},
    {"page table level 1 (PT)", 12, 10, 0, 0, false, true},
}};

// From the top table down; empty: no paging.
inline std::span<const Level> levels(PagingMode mode) {
    switch (mode) {
        case PagingMode::none: return {};
        case PagingMode::x86_32: return kLevels32;
        case PagingMode::x86_pae: return kLevelsPae;
        case PagingMode::x86_64_4level: return std::span(kLevels64).subspan(1);
        case PagingMode::x86_64_5level: return kLevels64;
    }
    return {};
}

inline unsigned entry_size(PagingMode mode) { return mode == PagingMode::x86_32 ? 4 : 8; }

inline std::uint64_t root_table(PagingMode mode, Gpa root) {
    switch (mode) {
        case PagingMode::x86_32: return root.value & 0xffff'f000;
        case PagingMode::x86_pae: return root.value & 0xffff'ffe0;
        default: return root.value & kPteAddressMask;
    }
}

struct Entry {
    std::uint64_t frame = 0;
    bool present = false;
    bool malformed = false;
    bool large = false;
    bool writable = true;
    bool user = true;
    bool executable = true;
};

inline Entry decode(PagingMode mode, const Level& level, std::uint64_t raw) {
    Entry entry;
    if ((raw & kPresent) == 0) return entry;
    entry.present = true;
    entry.large = level.may_be_large && (raw & kLarge) != 0;
    entry.malformed = (raw & (entry.large ? level.reserved_large : level.reserved)) != 0;
    if (level.has_permissions) {
        entry.writable = (raw & kWrite) != 0;
        entry.user = (raw & kUser) != 0;
    }
    if (mode == PagingMode::x86_32) {
        entry.frame = raw & 0xffff'f000;
        if (entry.large) {  // PSE-36: bits 13..20 are bits 32..39 of the address
            entry.frame = (raw & 0xffc0'0000) | ((raw >> 13 & 0xff) << 32);
        }
        return entry;
    }
    entry.executable = (raw & kNoExecute) == 0 || !level.has_permissions;
    entry.frame = raw & kPteAddressMask;
    if (entry.large) entry.frame &= ~((std::uint64_t{1} << level.shift) - 1);  // bit 12 is PAT
    return entry;
}

inline std::uint64_t entry_address(PagingMode mode, const Level& level, std::uint64_t table, std::uint64_t address) {
    const std::uint64_t index = address >> level.shift & ((std::uint64_t{1} << level.index_bits) - 1);
    return table + index * entry_size(mode);
}

// The error of a translation, told for the virtual address that was asked for.
inline Error failed_at(std::uint64_t address, const Error& error) {
    return Error{error.code, error.origin, true, address, error.what, error.detail};
}

}  // namespace vitrine::walk
