// The mappings of a process (struct vm_area_struct), in the order of their addresses, wherever its kernel keeps them: in a maple tree, or,
// before v6.1, in a list.
//
//   const MappingList list = VITRINE_TRY(list_mappings(guest, mm, budget));
//   for (const Vma& vma : list.mappings) ...            // list.report tells whether it was all of them
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vitrine/guest/linux_guest.h"
#include "vitrine/types/member_need.h"

namespace vitrine::linux_os {

extern const NeedGroup kMappingMembers;

// A copy of one mapping, read in one piece. Null where the kernel has a null pointer, or no such member.
struct Vma {
    Gva address;  // of struct vm_area_struct
    std::uint64_t start = 0, end = 0, flags = 0;
    std::uint64_t page_offset = 0;                 // in the file; pages
    std::optional<std::uint64_t> page_protection;  // vm_page_prot
    Gva file, operations, private_data, anonymous_name;
    Gva owner;  // vm_mm
};

struct MappingList {
    std::vector<Vma> mappings;
    WalkReport report;
    std::vector<std::string> oddities;  // what is not as the kernel keeps it, one line each; the first few
};

// At most this many are listed of one process (sysctl vm.max_map_count is 65,530 by default).
inline constexpr std::size_t kMostMappings = 1u << 18;

// Of the process with this mm_struct. Walked anew while a running guest tears it. not_found: the kernel's types lack what it takes.
Result<MappingList> list_mappings(LinuxGuest& guest, Gva mm, WalkBudget budget);

// One walk, of a kernel whose types are resolved: kMappingMembers, and kMapleTreeMembers where there is mm_struct.mm_mt, else null.
// Does not retry.
[[nodiscard]] MappingList walk_mappings(const AddressSpace& space, const Members& members, const Members* tree, Gva mm,
                                        WalkBudget budget);

// One mapping by its address; nullopt when it cannot be read. `members`: kMappingMembers resolved.
[[nodiscard]] std::optional<Vma> read_vma(const AddressSpace& space, const Members& members, Gva vma);

}  // namespace vitrine::linux_os
