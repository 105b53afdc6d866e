#include "vitrine/symbols/symbol_table.h"

#include <fmt/format.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <utility>

namespace vitrine {
namespace {

constexpr std::size_t kMaxSymbols = std::size_t{1} << 30;
constexpr std::size_t kMaxModules = 0xffff;

std::uint32_t hash_of(std::string_view name) {
    return static_cast<std::uint32_t>(XXH3_64bits(name.data(), name.size()));
}

// nm's letters for absolute symbols; per-CPU symbols of kernels before 6.15 have it (make_percpus_absolute() in
// scripts/kallsyms.c): their values are offsets, not addresses.
bool is_absolute(char type) { return type == 'A' || type == 'a'; }

}  // namespace

Symbol SymbolTable::at(std::size_t index) const {
    return {Gva{addresses_[index]}, std::string_view(arena_.data() + names_[index]), types_[index],
            module_names_[modules_[index]]};
}

std::vector<Symbol> SymbolTable::all_by_name(std::string_view name) const {
    std::vector<Symbol> found;
    if (hash_heads_.empty()) return found;
    for (std::uint32_t next = hash_heads_[hash_of(name) & (hash_heads_.size() - 1)]; next != 0;
         next = hash_next_[next - 1]) {
        if (std::string_view(arena_.data() + names_[next - 1]) == name) found.push_back(at(next - 1));
    }
    return found;
}

SymbolTable::KernelMatch SymbolTable::find_in_kernel(std::string_view name) const {
    KernelMatch match;
    if (hash_heads_.empty()) return match;
    for (std::uint32_t next = hash_heads_[hash_of(name) & (hash_heads_.size() - 1)]; next != 0;
         next = hash_next_[next - 1]) {
        const std::uint32_t index = next - 1;
        if (modules_[index] != 0 || std::string_view(arena_.data() + names_[index]) != name) continue;
        if (!match.index) match.index = index;
        match.ambiguous = match.ambiguous || addresses_[*match.index] != addresses_[index];
    }
    return match;
}

Result<Symbol> SymbolTable::by_name(std::string_view name) const {
    const KernelMatch match = find_in_kernel(name);
    if (match.ambiguous) {
        return Error::with_text(Errc::ambiguous, Origin::symbols,
                                fmt::format("several kernel symbols are named '{}'", name));
    }
    if (!match.index)
        return Error::with_text(Errc::not_found, Origin::symbols, fmt::format("no kernel symbol '{}'", name));
    return at(*match.index);
}

std::optional<Gva> SymbolTable::address_of(std::string_view name) const {
    const KernelMatch match = find_in_kernel(name);
    if (match.ambiguous || !match.index) return std::nullopt;
    return Gva{addresses_[*match.index]};
}

std::vector<Symbol> SymbolTable::all_by_address(Gva address) const {
    std::vector<std::uint32_t> found;
    for (const std::uint32_t index : absolute_) {
        if (addresses_[index] == address.value) found.push_back(index);
    }
    auto it = std::lower_bound(by_address_.begin(), by_address_.end(), address.value,
                               [this](std::uint32_t index, std::uint64_t value) { return addresses_[index] < value; });
    for (; it != by_address_.end() && addresses_[*it] == address.value; ++it) found.push_back(*it);
    std::sort(found.begin(), found.end());
    std::vector<Symbol> symbols;
    symbols.reserve(found.size());
    for (const std::uint32_t index : found) symbols.push_back(at(index));
    return symbols;
}

std::optional<Nearest> SymbolTable::nearest(Gva address) const {
    const auto after = std::upper_bound(
        by_address_.begin(), by_address_.end(), address.value,
        [this](std::uint64_t value, std::uint32_t index) { return value < addresses_[index]; });
    if (after == by_address_.begin()) return std::nullopt;
    const std::uint64_t found = addresses_[*(after - 1)];
    const auto first = std::lower_bound(
        by_address_.begin(), after, found,
        [this](std::uint32_t index, std::uint64_t value) { return addresses_[index] < value; });
    return Nearest{at(*first), address.value - found};
}

void SymbolTableBuilder::reserve(std::size_t symbols, std::size_t name_bytes) {
    table_.addresses_.reserve(symbols);
    table_.names_.reserve(symbols);
    table_.types_.reserve(symbols);
    table_.modules_.reserve(symbols);
    table_.arena_.reserve(name_bytes);
    hashes_.reserve(symbols);
}

std::uint16_t SymbolTableBuilder::add_module(std::string_view name) {
    auto& names = table_.module_names_;
    if (names.empty()) names.emplace_back();
    if (names.size() == kMaxModules) names.emplace_back("?");
    if (names.size() > kMaxModules) return static_cast<std::uint16_t>(kMaxModules);
    names.emplace_back(name);
    return static_cast<std::uint16_t>(names.size() - 1);
}

void SymbolTableBuilder::limit_names(std::size_t bytes) {
    names_end_ = std::min(names_end_, table_.arena_.size() + bytes);
    // Growing by copies would take twice as much; what is never written to takes nothing.
    table_.arena_.reserve(names_end_);
}

bool SymbolTableBuilder::add(Gva address, std::string_view name, char type, std::uint16_t module) {
    name = name.substr(0, name.find('\0'));
    if (table_.arena_.size() + name.size() + 1 > names_end_ || table_.addresses_.size() >= kMaxSymbols) return false;
    table_.addresses_.push_back(address.value);
    table_.names_.push_back(static_cast<std::uint32_t>(table_.arena_.size()));
    table_.types_.push_back(type);
    table_.modules_.push_back(module < table_.module_names_.size() ? module : std::uint16_t{0});
    table_.arena_.insert(table_.arena_.end(), name.begin(), name.end());
    table_.arena_.push_back('\0');
    hashes_.push_back(hash_of(name));
    return true;
}

SymbolTable SymbolTableBuilder::build() {
    SymbolTable& table = table_;
    if (table.module_names_.empty()) table.module_names_.emplace_back();
    const std::size_t count = table.addresses_.size();

    table.hash_heads_.assign(std::bit_ceil(std::max<std::size_t>(count, 1)), 0);
    table.hash_next_.assign(count, 0);
    const std::size_t mask = table.hash_heads_.size() - 1;
    for (std::size_t i = count; i-- != 0;) {  // from the back, so that chains are in order
        std::uint32_t& head = table.hash_heads_[hashes_[i] & mask];
        table.hash_next_[i] = head;
        head = static_cast<std::uint32_t>(i + 1);
    }

    auto& order = table.by_address_;
    order.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        (is_absolute(table.types_[i]) ? table.absolute_ : order).push_back(static_cast<std::uint32_t>(i));
    }
    const auto below = [&table](std::uint32_t a, std::uint32_t b) { return table.addresses_[a] < table.addresses_[b]; };
    // kallsyms is sorted already; the symbols of modules come after it.
    const auto sorted = std::is_sorted_until(order.begin(), order.end(), below);
    std::stable_sort(sorted, order.end(), below);
    std::inplace_merge(order.begin(), sorted, order.end(), below);

    hashes_.clear();
    return std::exchange(table_, SymbolTable{});
}

}  // namespace vitrine
