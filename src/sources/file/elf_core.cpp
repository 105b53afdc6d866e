#include "sources/file/elf_core.h"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "sources/file/elf_notes.h"
#include "vitrine/base/bytes.h"

namespace vitrine {
namespace {

// A machine's memory map has tens of ranges; a core that is written page by page where memory is fragmented may have
// some hundred thousand.
constexpr std::uint64_t kMaxHeaders = 1u << 19;
constexpr std::uint64_t kMaxPhysical = std::uint64_t{1} << 52;  // x86-64 has no more physical address bits
constexpr std::uint64_t kMaxNotes = std::uint64_t{16} << 20;

struct Header {
    bool is_64 = false;
    std::uint16_t machine = 0;
    std::uint64_t program_offset = 0;
    std::uint64_t program_count = 0;
    std::uint64_t section_offset = 0;
    std::uint16_t section_size = 0;
};

struct Segment {
    std::uint32_t type = 0;
    std::uint64_t offset = 0;
    std::uint64_t virtual_address = 0;
    std::uint64_t physical = 0;
    std::uint64_t file_size = 0;
    std::uint64_t memory_size = 0;
};

Error malformed(std::string why, std::string hint = "make the dump again") {
    return Error::with_text(Errc::malformed, Origin::source, "damaged ELF core: " + std::move(why), std::move(hint));
}

// Structures of <elf.h> hold integers only: any bytes are a valid value.
template <class T>
std::optional<T> read_struct(const FileBytes& file, std::uint64_t offset) {
    T value;
    if (!file.read(offset, std::as_writable_bytes(std::span<T, 1>(&value, 1)))) return std::nullopt;
    return value;
}

template <class Ehdr, class Phdr, class Shdr>
Result<Header> read_header(const FileBytes& file) {
    const auto elf = read_struct<Ehdr>(file, 0);
    if (!elf) return malformed("it ends inside the ELF header");
    if (elf->e_type != ET_CORE) {
        return Error::with_text(Errc::unsupported, Origin::source,
                                "an ELF file, but not a core dump (a program or a kernel with its symbols?)",
                                "give an image of a machine's memory; a kernel's symbols are given with --symbols");
    }
    if (elf->e_machine != EM_X86_64 && elf->e_machine != EM_386) {
        return Error::with_text(Errc::unsupported, Origin::source,
                                fmt::format("an ELF core of another architecture (ELF machine {})", elf->e_machine),
                                "x86-64 guests are supported");
    }
    Header header{
        sizeof(Ehdr) == sizeof(Elf64_Ehdr), elf->e_machine, elf->e_phoff, elf->e_phnum, elf->e_shoff, elf->e_shentsize};
    if (elf->e_phentsize != sizeof(Phdr)) return malformed("program headers of an unknown size");
    if (elf->e_phnum == PN_XNUM) {  // 65535 and more: the number is in the first section header
        const auto section = read_struct<Shdr>(file, elf->e_shoff);
        if (elf->e_shoff == 0 || elf->e_shentsize != sizeof(Shdr) || !section) {
            return malformed("the number of program headers is not where it must be");
        }
        header.program_count = section->sh_info;
    }
    if (header.program_count == 0) return malformed("no program headers");
    if (header.program_count > kMaxHeaders) return malformed(fmt::format("{} program headers", header.program_count));
    const std::uint64_t bytes = header.program_count * sizeof(Phdr);
    if (header.program_offset > file.size || file.size - header.program_offset < bytes) {
        return malformed("it ends inside the program headers", "copy the whole file");
    }
    return header;
}

Result<Header> read_header(const FileBytes& file) {
    std::array<std::byte, EI_NIDENT> ident{};
    if (!file.read(0, ident)) return malformed("it ends inside the ELF header");
    if (std::to_integer<unsigned>(ident[EI_DATA]) != ELFDATA2LSB) {
        return Error::with_text(Errc::unsupported, Origin::source, "a big-endian ELF file",
                                "x86-64 guests are supported");
    }
    switch (std::to_integer<unsigned>(ident[EI_CLASS])) {
        case ELFCLASS64: return read_header<Elf64_Ehdr, Elf64_Phdr, Elf64_Shdr>(file);
        case ELFCLASS32: return read_header<Elf32_Ehdr, Elf32_Phdr, Elf32_Shdr>(file);
        default: return malformed("an unknown ELF class");
    }
}

template <class Phdr>
bool for_each_segment(const FileBytes& file, const Header& header, FunctionRef<void(const Segment&)> visit) {
    constexpr std::size_t kAtOnce = 512;
    std::vector<Phdr> chunk(std::min<std::uint64_t>(kAtOnce, header.program_count));
    for (std::uint64_t done = 0; done < header.program_count;) {
        const auto take = static_cast<std::size_t>(std::min<std::uint64_t>(chunk.size(), header.program_count - done));
        const auto part = std::span(chunk).first(take);
        if (!file.read(header.program_offset + done * sizeof(Phdr), std::as_writable_bytes(part))) return false;
        for (const Phdr& p : part) visit({p.p_type, p.p_offset, p.p_vaddr, p.p_paddr, p.p_filesz, p.p_memsz});
        done += take;
    }
    return true;
}

Result<void> check_segment(const Segment& segment) {
    std::uint64_t end = 0;
    if (segment.file_size > segment.memory_size) return malformed("a segment is longer in the file than in memory");
    if (__builtin_add_overflow(segment.offset, segment.file_size, &end) || end > INT64_MAX) {
        return malformed("a segment ends outside any file");
    }
    if (__builtin_add_overflow(segment.physical, segment.memory_size, &end) || end > kMaxPhysical) {
        return malformed(fmt::format("a segment at physical address {:#x}", segment.physical));
    }
    return {};
}

// A process's core has no physical addresses: all zero, under virtual ones that are not.
bool is_process_core(const std::vector<Segment>& loads) {
    std::size_t virtual_only = 0;
    for (const Segment& load : loads) virtual_only += load.physical == 0 && load.virtual_address != 0 ? 1 : 0;
    return virtual_only > 1 && virtual_only == loads.size();
}

// Sorts by address; cuts off what an earlier range covers already. Returns how many ranges were cut.
std::size_t make_disjoint(std::vector<LayoutExtent>& extents) {
    std::stable_sort(extents.begin(), extents.end(),
                     [](const LayoutExtent& a, const LayoutExtent& b) { return a.start < b.start; });
    std::size_t cut = 0;
    std::size_t kept = 0;
    std::uint64_t free_from = 0;
    for (LayoutExtent extent : extents) {
        const std::uint64_t covered = extent.start.value < free_from ? free_from - extent.start.value : 0;
        cut += covered > 0 ? 1 : 0;
        if (covered >= extent.size) continue;
        extent = {Gpa{extent.start.value + covered}, extent.size - covered, extent.offset + covered};
        free_from = extent.start.value + extent.size;
        extents[kept++] = extent;
    }
    extents.resize(kept);
    return cut;
}

// The parts of `wanted` that `taken` (sorted, disjoint) leaves free.
std::vector<MemoryRange> subtract(std::vector<MemoryRange> wanted, const std::vector<LayoutExtent>& taken) {
    std::sort(wanted.begin(), wanted.end(),
              [](const MemoryRange& a, const MemoryRange& b) { return a.start < b.start; });
    std::vector<MemoryRange> free;
    std::uint64_t from = 0;
    std::size_t next = 0;
    const auto add = [&](std::uint64_t low, std::uint64_t high) {
        if (low < high) free.push_back({Gpa{low}, high - low});
    };
    for (const MemoryRange& range : wanted) {
        const std::uint64_t end = range.start.value + range.size;
        std::uint64_t low = std::max(from, range.start.value);
        while (next < taken.size() && taken[next].start.value + taken[next].size <= low) ++next;
        for (; next < taken.size() && taken[next].start.value < end; ++next) {
            add(low, std::min(end, taken[next].start.value));
            low = std::max(low, taken[next].start.value + taken[next].size);
            if (low >= end) break;  // this one may cover the next range, too
        }
        add(low, end);
        from = std::max({from, low, end});
    }
    return free;
}

Result<void> read_notes(const FileBytes& file, const std::vector<Segment>& notes, ElfCore& core) {
    std::uint64_t budget = kMaxNotes;
    for (const Segment& segment : notes) {
        const std::uint64_t inside = segment.offset < file.size
                                         ? std::min(segment.file_size, file.size - segment.offset)
                                         : 0;
        const std::uint64_t take = std::min(inside, budget);
        if (take < segment.file_size)
            core.remarks.push_back("notes were left out: they do not fit into the file, or are too many");
        std::vector<std::byte> bytes(take);
        if (!file.read(segment.offset, bytes)) return malformed("the notes cannot be read");
        parse_elf_notes(bytes, core.is_x86_64, core.vcpus);
        budget -= take;
    }
    return {};
}

Result<void> add_memory(const FileBytes& file, const std::vector<Segment>& loads, ElfCore& core) {
    std::uint64_t needed = 0;
    std::vector<MemoryRange> zeros;
    for (const Segment& load : loads) {
        VITRINE_CHECK(check_segment(load));
        if (load.file_size > 0) {
            core.in_file.push_back({Gpa{load.physical}, load.file_size, load.offset});
            needed = std::max(needed, load.offset + load.file_size);
        }
        if (load.memory_size > load.file_size) {
            zeros.push_back({Gpa{load.physical + load.file_size}, load.memory_size - load.file_size});
        }
    }
    if (needed > file.size) {
        return malformed(fmt::format("the file ends too early: {} bytes of {} are missing", needed - file.size, needed),
                         "copy the whole file, or make the dump again");
    }
    if (const std::size_t cut = make_disjoint(core.in_file); cut > 0) {
        core.remarks.push_back(fmt::format("{} segments overlap others: the one that begins first was used", cut));
    }
    core.zeros = subtract(std::move(zeros), core.in_file);
    if (core.in_file.empty()) return malformed("no memory in it");
    return {};
}

}  // namespace

bool has_elf_magic(std::span<const std::byte> head) {
    return head.size() >= SELFMAG && std::memcmp(head.data(), ELFMAG, SELFMAG) == 0;
}

Result<ElfCore> parse_elf_core(const FileBytes& file) {
    const Header header = VITRINE_TRY(read_header(file));
    ElfCore core;
    core.is_64 = header.is_64;
    core.is_x86_64 = header.machine == EM_X86_64;
    std::vector<Segment> loads;
    std::vector<Segment> notes;
    std::size_t without_address = 0;
    const auto visit = [&](const Segment& segment) {
        if (segment.type == PT_NOTE) notes.push_back(segment);
        if (segment.type != PT_LOAD || segment.memory_size == 0) return;
        // /proc/kcore's way to say that there is no physical address.
        const bool none = segment.physical == (header.is_64 ? ~std::uint64_t{0} : std::uint64_t{0xffff'ffff});
        if (none) ++without_address;
        else loads.push_back(segment);
    };
    const bool whole = header.is_64 ? for_each_segment<Elf64_Phdr>(file, header, visit)
                                    : for_each_segment<Elf32_Phdr>(file, header, visit);
    if (!whole) return malformed("the program headers cannot be read");
    if (is_process_core(loads)) {
        return Error::with_text(Errc::unsupported, Origin::source, "the core dump of a process, not of a machine",
                                "dump a machine's memory, e.g. with QEMU's dump-guest-memory");
    }
    if (without_address > 0) {
        core.remarks.push_back(fmt::format("{} segments have no physical address and were left out", without_address));
    }
    VITRINE_CHECK(add_memory(file, loads, core));
    VITRINE_CHECK(read_notes(file, notes, core));
    return core;
}

}  // namespace vitrine
