// Builds the tables scripts/kallsyms.c emits, in every layout a kernel has had, with real token compression, embedded in noise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "vitrine/base/address.h"
#include "vitrine/symbols/kallsyms.h"

namespace vitrine::test {

struct EncodedSymbol {
    std::uint64_t address = 0;
    char type = 'T';
    std::string name;
};

struct EncodeOptions {
    KallsymsAddressing addressing = KallsymsAddressing::base_relative_after;
    bool absolute_percpu = false;
    bool addresses_after = true;  // for absolute: after the token index (6.4 to 6.10) or in front
    std::uint8_t marker_size = 4;
    unsigned seqs_entry_size = 0;  // 0: no kallsyms_seqs_of_names
    bool sort_by_stem = false;     // as clang LTO kernels: without what follows the first '.'
    std::size_t alignment = 8;
    bool uleb = true;
    Gva region_va{0xffffffff81010000};  // inside the image of kernel_like_symbols()
    std::size_t noise_before = 4096;    // a multiple of 8
    std::size_t noise_after = 4096;
    std::uint32_t noise_seed = 1;
};

struct Encoded {
    std::vector<std::byte> region;
    KallsymsLayout layout;
    std::uint64_t tables_begin = 0, tables_end = 0;
};

Encoded encode_kallsyms(const std::vector<EncodedSymbol>& symbols, const EncodeOptions& options);

// Kernel-like symbols, sorted by address as a kernel's are: per-CPU ones (type A, small values) first, then image addresses
// from `base` on; some names occur several times, some with compiler suffixes, some with several hundred characters.
std::vector<EncodedSymbol> kernel_like_symbols(std::size_t count, std::size_t percpu, std::size_t longest_name,
                                               std::uint64_t base = 0xffffffff81000000, std::uint32_t seed = 7);

}  // namespace vitrine::test
