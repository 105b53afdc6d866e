// Makes ELF core files of machines, good ones and broken ones: every header field can be set wrong.
#pragma once

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace vitrine::testing {

struct CoreSegment {
    std::uint64_t physical = 0;
    std::vector<std::byte> bytes;
    std::uint64_t extra_memory = 0;  // p_memsz beyond p_filesz
    std::uint64_t virtual_address = 0;
};

// What QEMU puts into its note, before the register values.
struct CoreVcpu {
    std::uint64_t rip = 0, cr0 = 0x8005'0033, cr3 = 0, cr4 = 0x20, gs_base = 0, kernel_gs_base = 0;
    bool has_kernel_gs = true;  // QEMU 2.12 and later
    std::uint32_t version = 1;
};

template <bool Is64>
class ElfCoreWriter {
public:
    using Ehdr = std::conditional_t<Is64, Elf64_Ehdr, Elf32_Ehdr>;
    using Phdr = std::conditional_t<Is64, Elf64_Phdr, Elf32_Phdr>;
    using Shdr = std::conditional_t<Is64, Elf64_Shdr, Elf32_Shdr>;

    std::vector<CoreSegment> segments;
    std::vector<CoreVcpu> vcpus;
    std::vector<std::byte> more_notes;  // appended as they are
    bool count_in_section = false;      // PN_XNUM, the number in sh_info
    std::uint64_t padding = 0;          // before the first segment's bytes
    std::uint16_t machine = EM_X86_64;

    // Headers can be changed before they are written; the default is a good file.
    Ehdr header{};
    std::vector<Phdr> program_headers;

    // Fills header and program_headers; call build() after changing them.
    void prepare();
    [[nodiscard]] std::vector<std::byte> build() const;
    std::vector<std::byte> make_file();

private:
    [[nodiscard]] std::vector<std::byte> make_notes() const;

    std::vector<std::byte> notes_;
};

extern template class ElfCoreWriter<true>;
extern template class ElfCoreWriter<false>;

}  // namespace vitrine::testing
