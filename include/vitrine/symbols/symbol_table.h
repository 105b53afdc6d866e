// Names of addresses: the kernel's own symbols (kallsyms) and those of its modules.
//
// Immutable after building; safe to read from several threads once built (the name index is built by the builder).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/base/address.h"
#include "vitrine/base/result.h"

namespace vitrine {

struct Symbol {
    Gva address;
    std::string_view name;    // points into the table
    char type = '?';          // as nm and /proc/kallsyms print it. From 6.16 on data may carry T: do not decide by it.
    std::string_view module;  // "" for the kernel itself
};

struct Nearest {
    Symbol symbol;
    std::uint64_t offset = 0;  // address - symbol.address
};

class SymbolTable {
public:
    [[nodiscard]] std::size_t size() const { return addresses_.size(); }
    [[nodiscard]] Symbol at(std::size_t index) const;  // in the order of the source (kallsyms order); index < size()

    // The one symbol of that name in the kernel itself; nullopt when there is none or several with different addresses.
    [[nodiscard]] std::optional<Gva> address_of(std::string_view name) const;
    // As address_of, with the reason: not_found, ambiguous.
    Result<Symbol> by_name(std::string_view name) const;
    [[nodiscard]] std::vector<Symbol> all_by_name(std::string_view name) const;
    // Absolute ones among them, in order.
    [[nodiscard]] std::vector<Symbol> all_by_address(Gva address) const;
    // The last symbol at or below the address (among equal addresses the first in order). Absolute (per-CPU) symbols are left out.
    [[nodiscard]] std::optional<Nearest> nearest(Gva address) const;

private:
    friend class SymbolTableBuilder;
    struct KernelMatch {
        std::optional<std::uint32_t> index;  // the first of that name
        bool ambiguous = false;
    };
    [[nodiscard]] KernelMatch find_in_kernel(std::string_view name) const;

    std::vector<std::uint64_t> addresses_;
    std::vector<std::uint32_t> names_;  // offsets into arena_, NUL-terminated
    std::vector<char> types_;
    std::vector<std::uint16_t> modules_;  // index into module_names_
    std::vector<char> arena_;
    std::vector<std::string> module_names_;  // [0] is ""
    // Names by hash, as chains: a name repeated a million times costs no more to insert than a million different ones.
    std::vector<std::uint32_t>
        hash_heads_;                        // index + 1 of the first symbol of the chain; 0: empty; size a power of two
    std::vector<std::uint32_t> hash_next_;  // index + 1 of the next symbol of the chain, in order
    std::vector<std::uint32_t> by_address_;  // indices sorted by address
    std::vector<std::uint32_t> absolute_;    // indices of those that are left out there
};

class SymbolTableBuilder {
public:
    void reserve(std::size_t symbols, std::size_t name_bytes);
    // module 0 is the kernel; others from add_module(). After 65,534 modules all further ones share one, named "?".
    std::uint16_t add_module(std::string_view name);
    // From here on the names of all symbols together may take this many bytes and no more.
    void limit_names(std::size_t bytes);
    // False when the table is full (1 GiB of names, or the limit): the symbol was not added.
    bool add(Gva address, std::string_view name, char type, std::uint16_t module = 0);
    SymbolTable build();

private:
    SymbolTable table_;
    std::vector<std::uint32_t> hashes_;
    std::size_t names_end_ = std::size_t{1} << 30;  // of the arena; offsets are 32-bit
};

}  // namespace vitrine
