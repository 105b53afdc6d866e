#include "os/linux/module_symbols.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "os/linux/find/prove.h"
#include "os/linux/module_list.h"
#include "symbols/elf_symbols.h"

namespace vitrine::linux_os {
namespace {

constexpr std::uint64_t kElfSymSize = 24;        // Elf64_Sym
constexpr std::uint64_t kMaxSymbols = 1u << 17;  // the largest modules have some 20,000
constexpr std::uint64_t kMaxStrings = 8u << 20;
constexpr std::uint64_t kLongestName = 512;      // KSYM_NAME_LEN
constexpr std::uint32_t kMaxExports = 1u << 16;  // the largest modules have some 2,000
// Of all modules together, so that a forged list of modules that share one huge table costs no more than a huge module.
constexpr std::uint64_t kMaxAllSymbols = 1u << 20;
constexpr std::size_t kMaxAllNames = 12u << 20;  // bytes; some hundred thousand names
constexpr std::chrono::milliseconds kMaxTime{10'000};
constexpr std::uint32_t kMaxExportSize = 64;  // struct kernel_symbol: 8 or 12 bytes

using Exports = std::set<std::pair<std::uint64_t, std::string>>;  // (value, name)

// As much as is mapped, at most `size`.
std::vector<std::byte> read_up_to(const AddressSpace& space, Gva at, std::uint64_t size) {
    // Grown piece by piece, so that a claimed size costs memory only as far as there is memory behind it.
    constexpr std::uint64_t kPiece = 256 * 1024;
    std::vector<std::byte> bytes;
    while (bytes.size() < size) {
        const std::size_t have = bytes.size();
        const std::size_t want = static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, size - have));
        bytes.resize(have + want);
        const auto got = space.read_prefix(at.wrap_plus(have), std::span(bytes).subspan(have, want));
        bytes.resize(have + (got ? *got : 0));
        if (!got || *got < want) break;
    }
    return bytes;
}

// What a module exports without restriction: its `syms`. (is_exported(), kernel/module/kallsyms.c, looks at no other list.) nullopt when
// that cannot be read whole.
std::optional<Exports> read_exports(const LinuxGuest& guest, const ModuleRecord& module) {
    Exports exports;
    const AddressSpace& space = guest.space();
    const Layout& layout = guest.layout();
    const std::uint32_t stride = layout.struct_size(StructId::kernel_symbol);
    for (const FieldId id :
         {FieldId::module_syms, FieldId::module_num_syms, FieldId::kernel_symbol_value, FieldId::kernel_symbol_name}) {
        if (!layout.has(id)) return std::nullopt;
    }
    const std::uint32_t value_at = layout.at(FieldId::kernel_symbol_value);
    const std::uint32_t name_at = layout.at(FieldId::kernel_symbol_name);
    const auto count = space.read_value<std::uint32_t>(module.address.wrap_plus(layout.at(FieldId::module_num_syms)));
    const auto first = space.read_pointer(module.address.wrap_plus(layout.at(FieldId::module_syms)));
    if (!count || !first || *count > kMaxExports || stride > kMaxExportSize) return std::nullopt;
    const std::vector<std::byte> table = read_up_to(space, *first, std::uint64_t{*count} * stride);
    const ByteView view(table);
    const auto relative = [&](std::uint64_t offset) -> std::optional<Gva> {
        const auto distance = view.get<std::int32_t>(offset);
        if (!distance) return std::nullopt;
        return first->wrap_plus(offset).wrap_plus(static_cast<std::uint64_t>(std::int64_t{*distance}));
    };
    for (std::uint32_t i = 0; i < *count; ++i) {
        const auto value = relative(std::uint64_t{i} * stride + value_at);
        const auto name = relative(std::uint64_t{i} * stride + name_at);
        auto text = name ? space.read_c_string(*name, kLongestName) : Result<GuestString>(Error{});
        if (!value || !text) return std::nullopt;
        exports.emplace(value->value, std::move(text->bytes));
    }
    return exports;
}

// /proc/kallsyms shows the letter of an exported symbol in upper case, every other in lower case (s_show(), kernel/kallsyms.c).
void set_case(std::vector<std::byte>& types, const std::vector<std::byte>& symbols,
              const std::vector<std::byte>& strings, const Exports& exports) {
    for (std::size_t i = 0; i < types.size(); ++i) {
        auto letter = std::to_integer<unsigned>(types[i]) | 0x20u;
        if (letter < 'a' || letter > 'z') continue;  // '?'
        const std::byte* symbol = symbols.data() + i * kElfSymSize;
        const auto name = ByteView(strings).c_string(load<std::uint32_t>(symbol), kLongestName);
        if (name && exports.contains({load<std::uint64_t>(symbol + 8), std::string(*name)})) letter &= ~0x20u;
        types[i] = std::byte(letter);
    }
}

// left: how many more symbols may be read.
bool add_one(const LinuxGuest& guest, const ModuleRecord& module, SymbolTableBuilder& builder, std::uint64_t& left) {
    const AddressSpace& space = guest.space();
    const Layout& layout = guest.layout();
    const auto tables = space.read_pointer(module.address.wrap_plus(layout.at(FieldId::module_kallsyms)));
    if (!tables || tables->is_null()) return false;
    const auto symtab = space.read_pointer(tables->wrap_plus(layout.at(FieldId::kallsyms_symtab)));
    const auto strtab = space.read_pointer(tables->wrap_plus(layout.at(FieldId::kallsyms_strtab)));
    const auto count = space.read_value<std::uint32_t>(tables->wrap_plus(layout.at(FieldId::kallsyms_num_symtab)));
    if (!symtab || !strtab || !count || *count > kMaxSymbols || *count >= left) return false;
    left -= *count + 1;
    const std::vector<std::byte> symbols = read_up_to(space, *symtab, *count * kElfSymSize);
    if (symbols.size() != *count * kElfSymSize) return false;
    std::uint64_t strings_end = 0;
    for (std::uint64_t at = 0; at < symbols.size(); at += kElfSymSize) {
        strings_end = std::max<std::uint64_t>(strings_end, load<std::uint32_t>(symbols.data() + at));
    }
    const std::vector<std::byte> strings = read_up_to(space, *strtab,
                                                      std::min(strings_end + kLongestName, kMaxStrings));
    if (strings.size() <= strings_end) return false;  // names that cannot be read: the module counts as unread
    std::vector<std::byte> types;
    if (const auto offset = layout.offset(FieldId::kallsyms_typetab)) {
        if (const auto typetab = space.read_pointer(tables->wrap_plus(*offset)))
            types = read_up_to(space, *typetab, *count);
        const auto exports = read_exports(guest, module);
        if (exports) {
            left -= std::min<std::uint64_t>(left, exports->size());
            set_case(types, symbols, strings, *exports);
        } else {
            types.clear();  // which of them are exported is not known: no letter rather than a wrong one
        }
    }
    return add_module_symbols(builder, module.name_known ? module.name : "?", symbols, strings, types, *count)
        .has_value();
}

}  // namespace

ModuleSymbolsReport add_module_symbols(const LinuxGuest& guest, SymbolTableBuilder& builder) {
    ModuleSymbolsReport report;
    const Layout& layout = guest.layout();
    for (const FieldId id :
         {FieldId::module_kallsyms, FieldId::kallsyms_symtab, FieldId::kallsyms_strtab, FieldId::kallsyms_num_symtab}) {
        if (layout.has(id)) continue;
        report.missing = "symbols of modules: this kernel's types do not tell where they are kept";
        return report;
    }
    const auto modules = list_modules(guest);
    if (!modules) {
        report.missing = "symbols of modules: " + modules.error().to_string();
        return report;
    }
    std::size_t unread = 0;
    std::uint64_t left = kMaxAllSymbols;
    builder.limit_names(kMaxAllNames);
    Deadline deadline(kMaxTime);
    for (const ModuleRecord& module : modules->modules) {
        // Module names end up in a table of 16-bit indices; the kernel cannot load that many.
        const bool added = !deadline.passed_now() && add_one(guest, module, builder, left);
        unread += added ? 0u : 1u;
    }
    report.end = modules->report.end;
    if (report.end != WalkEnd::complete)
        report.missing = fmt::format("symbols of modules: the list of modules is {}", to_string(report.end));
    else if (unread != 0)
        report.missing = fmt::format("symbols of {} of {} modules could not be read", unread, modules->modules.size());
    return report;
}

}  // namespace vitrine::linux_os
