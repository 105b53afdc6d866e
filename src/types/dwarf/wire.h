// What the importing child sends to its parent: one message on a pipe, ended by end-of-file. The parent trusts nothing in
// it: the child has read a file that may have been made to take it over.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "vitrine/types/catalog.h"

namespace vitrine::dwarf {

// No kernel comes near (a distribution's vmlinux gives 20 MB).
inline constexpr std::size_t kMaxMessage = std::size_t{512} << 20;

struct TypeTables {
    std::vector<Type> types;  // [0] is void
    std::vector<Member> members;
    std::vector<Enumerator> enumerators;
    std::vector<char> strings;
};

struct Imported {
    std::string build_id;        // hex
    TypeTables tables;           // from DWARF; or
    std::vector<std::byte> btf;  // the .BTF section, when there is no DWARF
};

[[nodiscard]] std::vector<std::byte> encode(const Result<Imported>& outcome);
Result<Imported> decode(std::span<const std::byte> message);

}  // namespace vitrine::dwarf
