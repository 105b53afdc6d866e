#include "support/elf_core_writer.h"

#include <cstring>
#include <span>
#include <string_view>

namespace vitrine::testing {
namespace {

template <class Phdr>
Phdr make(std::uint32_t type, std::uint64_t offset, std::uint64_t va, std::uint64_t pa, std::uint64_t file_size,
          std::uint64_t memory_size) {
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
void append(std::vector<std::byte>& to, const T& value) {
    const auto bytes = std::as_bytes(std::span<const T, 1>(&value, 1));
    to.insert(to.end(), bytes.begin(), bytes.end());
}

void append_note(std::vector<std::byte>& to, std::string_view name, std::uint32_t type,
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

}  // namespace

template <bool Is64>
void ElfCoreWriter<Is64>::prepare() {
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
    program_headers.push_back(make<Phdr>(PT_NOTE, at, 0, 0, notes_.size(), 0));
    at += notes_.size() + padding;
    for (const CoreSegment& segment : segments) {
        program_headers.push_back(make<Phdr>(PT_LOAD, at, segment.virtual_address, segment.physical,
                                             segment.bytes.size(), segment.bytes.size() + segment.extra_memory));
        at += segment.bytes.size();
    }
}

template <bool Is64>
std::vector<std::byte> ElfCoreWriter<Is64>::build() const {
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

template <bool Is64>
std::vector<std::byte> ElfCoreWriter<Is64>::make_file() {
    prepare();
    return build();
}

template <bool Is64>
std::vector<std::byte> ElfCoreWriter<Is64>::make_notes() const {
    std::vector<std::byte> notes;
    for (std::size_t i = 0; i < vcpus.size(); ++i) append_note(notes, "CORE", NT_PRSTATUS, std::vector<std::byte>(336));
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

template class ElfCoreWriter<true>;
template class ElfCoreWriter<false>;

}  // namespace vitrine::testing
