#include "types/dwarf/elf_types.h"

#include <elfutils/libdwfl.h>
#include <fmt/format.h>
#include <gelf.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "types/dwarf/type_reader.h"

namespace vitrine::dwarf {
namespace {

struct EndElf {
    void operator()(Elf* elf) const { elf_end(elf); }
};
struct EndDwfl {
    void operator()(Dwfl* dwfl) const { dwfl_end(dwfl); }
};
using ElfHandle = std::unique_ptr<Elf, EndElf>;
using DwflHandle = std::unique_ptr<Dwfl, EndDwfl>;

constexpr const char* kGetDebugInfo =
    "install the kernel's -dbg (debuginfo) package and give its vmlinux, or a vmlinux built with debug information";

Error refused(Errc code, std::string text, std::string hint = {}) {
    return Error::with_text(code, Origin::types, std::move(text), std::move(hint));
}

Result<void> check_identity(Elf* elf, const std::string& path) {
    GElf_Ehdr header;
    if (elf == nullptr || elf_kind(elf) != ELF_K_ELF || gelf_getehdr(elf, &header) == nullptr) {
        return refused(Errc::malformed, fmt::format("{} is not an ELF file", path), kGetDebugInfo);
    }
    if (header.e_ident[EI_CLASS] != ELFCLASS64) {
        return refused(Errc::unsupported, fmt::format("{} is a 32-bit ELF file; 64-bit ones are read", path));
    }
    if (header.e_ident[EI_DATA] != ELFDATA2LSB) {
        return refused(Errc::unsupported, fmt::format("{} is a big-endian ELF file", path));
    }
    return {};
}

// The bytes of .BTF; empty when there is none.
std::vector<std::byte> btf_section(Elf* elf) {
    std::size_t names = 0;
    if (elf_getshdrstrndx(elf, &names) != 0) return {};
    Elf_Scn* section = nullptr;
    while ((section = elf_nextscn(elf, section)) != nullptr) {
        GElf_Shdr header;
        if (gelf_getshdr(section, &header) == nullptr) continue;
        const char* name = elf_strptr(elf, names, header.sh_name);
        if (name == nullptr || std::strcmp(name, ".BTF") != 0) continue;
        const Elf_Data* data = elf_rawdata(section, nullptr);
        if (data == nullptr || data->d_buf == nullptr) return {};
        const auto* bytes = static_cast<const std::byte*>(data->d_buf);
        return {bytes, bytes + data->d_size};
    }
    return {};
}

// libdwfl applies the relocations of relocatable files (modules), and finds separate debug files by build-id under
// /usr/lib/debug.
DwflHandle open_dwfl(int fd, const std::string& path, Dwfl_Module*& module) {
    static const Dwfl_Callbacks callbacks = {dwfl_build_id_find_elf, dwfl_standard_find_debuginfo,
                                             dwfl_offline_section_address, nullptr};
    DwflHandle dwfl(dwfl_begin(&callbacks));
    if (!dwfl) return nullptr;
    dwfl_report_begin(dwfl.get());
    const int copy = ::dup(fd);  // dwfl closes what it is given
    module = dwfl_report_offline(dwfl.get(), "", path.c_str(), copy);
    if (module == nullptr) {
        ::close(copy);
        return nullptr;
    }
    dwfl_report_end(dwfl.get(), nullptr, nullptr);
    return dwfl;
}

std::string build_id_of(Dwfl_Module* module) {
    const unsigned char* bits = nullptr;
    GElf_Addr where = 0;
    const int length = dwfl_module_build_id(module, &bits, &where);
    std::string hex;
    for (int i = 0; i < length && i < 64; ++i) hex += fmt::format("{:02x}", bits[i]);
    return hex;
}

// How many units were of C.
Result<std::size_t> read_units(Dwarf* dwarf, TypeStore& store) {
    TypeReader reader(store);
    std::size_t units = 0;
    Dwarf_CU* unit = nullptr;
    Dwarf_Die die;
    int status = 0;
    while ((status = dwarf_get_units(dwarf, unit, &unit, nullptr, nullptr, &die, nullptr)) == 0) {
        if (!reader.is_c(die)) continue;
        ++units;
        VITRINE_CHECK(reader.read_unit(die));
    }
    if (status < 0) return refused(Errc::malformed, fmt::format("debug information: {}", dwarf_errmsg(-1)));
    return units;
}

}  // namespace

Result<Imported> read_elf_types(int fd, const std::string& path) {
    elf_version(EV_CURRENT);
    const ElfHandle elf(elf_begin(fd, ELF_C_READ_MMAP, nullptr));
    VITRINE_CHECK(check_identity(elf.get(), path));
    Dwfl_Module* module = nullptr;
    const DwflHandle dwfl = open_dwfl(fd, path, module);
    if (!dwfl) return refused(Errc::malformed, fmt::format("{}: {}", path, dwfl_errmsg(-1)));
    Imported imported;
    imported.build_id = build_id_of(module);
    Dwarf_Addr bias = 0;
    Dwarf* dwarf = dwfl_module_getdwarf(module, &bias);
    if (dwarf != nullptr) {
        TypeStore store;
        const std::size_t units = VITRINE_TRY(read_units(dwarf, store));
        if (units != 0) {
            store.resolve_forwards();
            imported.tables = store.take();
            return imported;
        }
    }
    imported.btf = btf_section(elf.get());
    if (!imported.btf.empty()) return imported;
    return refused(Errc::not_found, fmt::format("{} has neither debug information of C units (DWARF) nor BTF", path),
                   kGetDebugInfo);
}

}  // namespace vitrine::dwarf
