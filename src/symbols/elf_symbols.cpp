#include "symbols/elf_symbols.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "vitrine/base/bytes.h"

namespace vitrine {
namespace {

constexpr std::uint32_t kMaxModuleSymbols = 1u << 20;  // the largest modules have some 60,000
constexpr std::size_t kNameBytes = 511;                // KSYM_NAME_LEN - 1

bool is_letter(std::uint8_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '?'; }

char type_of(ByteView typetab, std::uint32_t index, const Elf64_Sym& symbol) {
    if (typetab.size() == 0) return is_letter(symbol.st_info) ? static_cast<char>(symbol.st_info) : '?';
    const std::uint8_t letter = typetab.u8(index).value_or('?');
    return is_letter(letter) ? static_cast<char>(letter) : '?';
}

std::optional<std::string_view> name_of(std::span<const std::byte> strtab, std::uint32_t offset) {
    if (offset >= strtab.size()) return std::nullopt;
    const std::string_view rest(reinterpret_cast<const char*>(strtab.data()) + offset, strtab.size() - offset);
    const std::size_t end = rest.substr(0, kNameBytes).find('\0');
    if (end != std::string_view::npos) return rest.substr(0, end);
    if (rest.size() <= kNameBytes) return std::nullopt;  // runs off the table
    return rest.substr(0, kNameBytes);
}

}  // namespace

Result<std::size_t> add_module_symbols(SymbolTableBuilder& builder, std::string_view module,
                                       std::span<const std::byte> symtab, std::span<const std::byte> strtab,
                                       std::span<const std::byte> typetab, std::uint32_t count) {
    if (count > kMaxModuleSymbols) return Error::make(Errc::limit, Origin::symbols, "a module claims too many symbols");
    if (symtab.size() / sizeof(Elf64_Sym) < count) {
        return Error::make(Errc::out_of_range, Origin::symbols, "a module's symbol table is shorter than its count");
    }
    const std::uint16_t owner = builder.add_module(module);
    std::size_t added = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
        Elf64_Sym symbol;
        std::memcpy(&symbol, symtab.data() + i * sizeof(Elf64_Sym), sizeof(Elf64_Sym));
        if (symbol.st_shndx == SHN_UNDEF) continue;
        const auto name = name_of(strtab, symbol.st_name);
        if (!name || name->empty()) continue;
        if (!builder.add(Gva{symbol.st_value}, *name, type_of(ByteView(typetab), i, symbol), owner)) {
            return Error::make(Errc::limit, Origin::symbols, "the symbol table is full");
        }
        ++added;
    }
    return added;
}

}  // namespace vitrine
