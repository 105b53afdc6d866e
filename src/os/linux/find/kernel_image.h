// A place in memory that may be a running kernel: page tables and the image they map. Nothing in it is proven; see
// prove.h for the checks that make a kernel of it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vitrine/base/address.h"
#include "vitrine/base/result.h"
#include "vitrine/guest/guest.h"
#include "vitrine/memory/paging.h"
#include "vitrine/memory/physical_memory.h"

namespace vitrine::linux_os {

// __START_KERNEL_map and the default load address behind it (arch/x86/include/asm/page_64_types.h).
inline constexpr std::uint64_t kStartKernelMap = 0xffff'ffff'8000'0000;
inline constexpr std::uint64_t kLowestText = kStartKernelMap + 0x100'0000;
inline constexpr std::uint64_t kHighestImage = kStartKernelMap + 0x4000'0000;  // KERNEL_IMAGE_SIZE with KASLR: 1 GiB

struct KernelImage {
    PagingMode paging = PagingMode::x86_64_4level;
    Gpa root;     // tables that map it: a process's or the kernel's own
    Gva text_va;  // lowest mapped page: _text
    Gpa text_pa;
    std::vector<MappedRun> runs;  // all runs at the same distance between virtual and physical address
    FindRoute route = FindRoute::registers;
    std::string found_by;  // one line: "vCPU 0, CR3 0x1a2b000", "34 page-table roots agree"

    [[nodiscard]] std::uint64_t virtual_to_physical() const { return text_pa.value - text_va.value; }  // modulo 2^64
    [[nodiscard]] std::uint64_t mapped_bytes() const;
    // The kernel's own tables are variables of its image (arch/x86/kernel/head_64.S): a cheap check of what claims to be one.
    [[nodiscard]] bool covers(Gpa page) const;
    [[nodiscard]] bool has_writable() const;
    // Runs that are neither writable nor executable and at least 1 MiB: the read-only data. kallsyms and BTF are in there.
    [[nodiscard]] std::vector<MappedRun> read_only_data() const;
};

// Walks `root` over the kernel's image range. not_found: nothing that looks like a kernel image is mapped there.
Result<KernelImage> image_of_root(PhysicalMemory& memory, PagingMode mode, Gpa root);

}  // namespace vitrine::linux_os
