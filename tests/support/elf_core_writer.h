// Makes ELF core files of machines, good ones and broken ones: every header field can be set wrong.
#pragma once

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
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
    void prepare() {
        notes_ = make_notes();
        header = {};
        std::memcpy(header.e_ident, ELFMAG, SELFMAG);
        header.e_ident[EI_CLASS] = Is64 ? ELFCLASS64 : ELFCLASS32;
        header.e_ident[EI_DATA] = ELFDATA2LSB;
        header.e_ident[EI_VERSION] = EV_CURRENT;
        header.e_type = ET_CORE;
        header.e_machine = machine;
        header.e_version = EV_CURRENT;
        header.e_ehsize = sizeof(Ehdr);
        header.e_phentsize = sizeof(Phdr);
        header.e_phoff = sizeof(Ehdr);
        const std::size_t count = segments.size() + 1;
        header.e_phnum = static_cast<std::uint16_t>(count_in_section ? PN_XNUM : count);
        std::uint64_t at = sizeof(Ehdr) + count * sizeof(Phdr);
        if (count_in_section) {
            header.e_shoff = static_cast<decltype(header.e_shoff)>(at);
            header.e_shentsize = sizeof(Shdr);
            header.e_shnum = 1;
            at += sizeof(Shdr);
        }
        program_headers.clear();
        program_headers.push_back(make(PT_NOTE, at, 0, 0, notes_.size(), 0));
        at += notes_.size() + padding;
        for (const CoreSegment& segment : segments) {
            program_headers.push_back(make(PT_LOAD, at, segment.virtual_address, segment.physical, segment.bytes.size(),
                                           segment.bytes.size() + segment.extra_memory));
            at += segment.bytes.size();
        }
    }
    [[nodiscard]] std::vector<std::byte> build() const {
        std::vector<std::byte> file;
        append(file, header);
        for (const Phdr& p : program_headers) append(file, p);
        if (count_in_section) {
            Shdr section{};
            section.sh_info = static_cast<decltype(section.sh_info)>(program_headers.size());
            append(file, section);
        }
        file.insert(file.end(), notes_.begin(), notes_.end());
        file.resize(file.size() + padding);
        for (const CoreSegment& segment : segments) file.insert(file.end(), segment.bytes.begin(), segment.bytes.end());
        return file;
    }
    std::vector<std::byte> make_file() {
        prepare();
        return build();
    }

private:
    static Phdr make(std::uint32_t type, std::uint64_t offset, std::uint64_t va, std::uint64_t pa,
                     std::uint64_t file_size, std::uint64_t memory_size) {
        Phdr p{};
        p.p_type = type;
        p.p_offset = static_cast<decltype(p.p_offset)>(offset);
        p.p_vaddr = static_cast<decltype(p.p_vaddr)>(va);
        p.p_paddr = static_cast<decltype(p.p_paddr)>(pa);
        p.p_filesz = static_cast<decltype(p.p_filesz)>(file_size);
        p.p_memsz = static_cast<decltype(p.p_memsz)>(memory_size);
        return p;
    }
    template <class T>
    static void append(std::vector<std::byte>& to, const T& value) {
        const auto bytes = std::as_bytes(std::span<const T, 1>(&value, 1));
        to.insert(to.end(), bytes.begin(), bytes.end());
    }
    static void append_note(std::vector<std::byte>& to, std::string_view name, std::uint32_t type,
                            std::span<const std::byte> desc) {
        append(to, static_cast<std::uint32_t>(name.size() + 1));
        append(to, static_cast<std::uint32_t>(desc.size()));
        append(to, type);
        for (const char c : name) to.push_back(static_cast<std::byte>(c));
        to.push_back(std::byte{0});
        to.resize((to.size() + 3) / 4 * 4);
        to.insert(to.end(), desc.begin(), desc.end());
        to.resize((to.size() + 3) / 4 * 4);
    }
    [[nodiscard]] std::vector<std::byte> make_notes() const {
        std::vector<std::byte> notes;
        for (std::size_t i = 0; i < vcpus.size(); ++i)
            append_note(notes, "CORE", NT_PRSTATUS, std::vector<std::byte>(336));
        for (const CoreVcpu& vcpu : vcpus) {
            std::vector<std::byte> desc;
            append(desc, vcpu.version);
            append(desc, static_cast<std::uint32_t>(vcpu.has_kernel_gs ? 440 : 432));
            for (std::uint64_t i = 0; i < 16; ++i) append(desc, 0x1000 + i);  // rax rbx rcx rdx rsi rdi rsp rbp r8..r15
            append(desc, vcpu.rip);
            append(desc, std::uint64_t{0x246});
            for (std::uint64_t i = 0; i < 10; ++i) {  // cs ds es fs gs ss ldt tr gdt idt
                append(desc, static_cast<std::uint32_t>(i == 0 ? 0x10 : 0));
                append(desc, static_cast<std::uint32_t>(0x7f + i));
                append(desc, std::uint64_t{0});
                append(desc, i == 4 ? vcpu.gs_base : 0xfffffe0000000000 + i * 0x1000);
            }
            for (const std::uint64_t cr : {vcpu.cr0, std::uint64_t{0}, std::uint64_t{0x2222}, vcpu.cr3, vcpu.cr4})
                append(desc, cr);
            if (vcpu.has_kernel_gs) append(desc, vcpu.kernel_gs_base);
            append_note(notes, "QEMU", 0, desc);
        }
        notes.insert(notes.end(), more_notes.begin(), more_notes.end());
        return notes;
    }

    std::vector<std::byte> notes_;
};

}  // namespace vitrine::testing
