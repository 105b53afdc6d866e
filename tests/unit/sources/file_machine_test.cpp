// Memory images told apart by their content: raw images and their layouts, ELF cores good and bad, and what is refused.
#include "sources/file/file_machine.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <random>

#include "sources/file/elf_core.h"
#include "sources/file/known_formats.h"
#include "sources/file/raw_layout.h"
#include "support/elf_core_writer.h"
#include "support/temp_file.h"
#include "support/vector_store.h"

namespace vitrine {
namespace {

using testing::CoreVcpu;
using testing::ElfCoreWriter;
using testing::TempFile;
using Core64 = ElfCoreWriter<true>;
using Core32 = ElfCoreWriter<false>;

constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint64_t kGiB = 1u << 30;

std::vector<std::byte> pattern(std::size_t size, unsigned seed) {
    std::mt19937_64 random(seed);
    std::vector<std::byte> bytes(size);
    for (std::byte& b : bytes) b = static_cast<std::byte>(random());
    return bytes;
}

std::vector<std::byte> text_bytes(std::string_view text) {
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

// The error, checked for what every error that a person sees must have.
Error refusal(const std::string& path) {
    auto machine = open_file_machine(path);
    EXPECT_FALSE(machine.has_value()) << path;
    if (machine) return {};
    const std::string text = machine.error().to_string();
    EXPECT_EQ(text.find('\n'), std::string::npos);
    EXPECT_NE(text.find(path), std::string::npos) << text;
    EXPECT_FALSE(machine.error().hint().empty()) << text;
    return machine.error();
}

bool contains(const Error& error, std::string_view part) { return error.to_string().find(part) != std::string::npos; }

TEST(FileMachineRefuses, WhatIsNoImage) {
    EXPECT_EQ(refusal("/nonexistent/image").code, Errc::not_found);
    EXPECT_EQ(refusal("/tmp").code, Errc::usage);
    EXPECT_EQ(refusal("/dev/null").code, Errc::usage);
    const TempFile empty;
    EXPECT_TRUE(contains(refusal(empty.path()), "empty"));
    const TempFile small(kMiB - 1);
    EXPECT_TRUE(contains(refusal(small.path()), "1048575 bytes are too few"));
    EXPECT_EQ(refusal("/proc/self/exe").code, Errc::unsupported) << "an ELF program";
}

TEST(FileMachineRefuses, AFifoWithoutWaitingForAWriter) {
    const std::string path = TempFile().path() + "-fifo";
    ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
    EXPECT_EQ(refusal(path).code, Errc::usage);
    unlink(path.c_str());
}

TEST(FileMachineRefuses, AFileThatMayNotBeRead) {
    if (geteuid() == 0) {
        // Root may read all: as somebody else, in a child, so that this process keeps its rights.
        const TempFile file(2 * kMiB);
        EXPECT_EXIT(
            {
                if (setuid(65534) != 0) _exit(1);
                auto machine = open_file_machine(file.path());
                _exit(!machine && machine.error().code == Errc::permission && !machine.error().hint().empty() ? 42 : 2);
            },
            ::testing::ExitedWithCode(42), "");
        return;
    }
    const TempFile file(2 * kMiB);
    fchmod(file.fd(), 0);
    EXPECT_EQ(refusal(file.path()).code, Errc::permission);
}

TEST(FileMachineRefuses, KnownFormatsByName) {
    const std::pair<std::string_view, std::string_view> cases[] = {{{"KDUMP   ", 8}, "kdump-compressed"},
                                                                   {{"makedumpfile\0\0\0\0", 16}, "flattened kdump"},
                                                                   {"EMiL", "LiME"},
                                                                   {"AVML", "AVML"},
                                                                   {{"\xd2\xbe\xd2\xbe", 4}, "VMware"},
                                                                   {"QEVM", "QEMU migration"},
                                                                   {"LibvirtQemudSave", "libvirt saved guest"},
                                                                   {{"QFI\xfb", 4}, "qcow2"},
                                                                   {{"\x1f\x8b\x08", 3}, "gzip"},
                                                                   {{"\xfd"
                                                                     "7zXZ\0",
                                                                     6},
                                                                    "xz-compressed"},
                                                                   {{"\x28\xb5\x2f\xfd", 4}, "zstd"},
                                                                   {"PAGEDU64", "Windows crash dump"},
                                                                   {"DISKDUMP", "diskdump"}};
    for (const auto& [magic, name] : cases) {
        std::vector<std::byte> content = text_bytes(magic);
        content.resize(2 * kMiB);
        const TempFile file(content);
        const Error error = refusal(file.path());
        EXPECT_EQ(error.code, Errc::unsupported);
        EXPECT_TRUE(contains(error, name)) << error.to_string();
    }
    EXPECT_FALSE(known_format({}));
    EXPECT_FALSE(known_format(text_bytes("QEV")));
    EXPECT_FALSE(known_format(std::vector<std::byte>(kFormatHeadSize)));
}

// The first bytes of a raw image are the guest's.
TEST(RawImage, WhateverItBeginsWith) {
    const std::string_view marks[] = {{"KDUMP   ", 8},
                                      "EMiL",
                                      "LibvirtQemudSave",
                                      "PAGEDU64",
                                      "\x1f\x8b\x08",
                                      {"\x7f"
                                       "ELF\2\1\1",
                                       7},
                                      {"\x7f"
                                       "ELF\2\1\1\0\0\0\0\0\0\0\0\0\4\0\x3e\0\1\0\0\0",
                                       24}};
    for (const std::string_view mark : marks) {
        std::vector<std::byte> content = pattern(2 * kMiB, 3);
        const auto bytes = text_bytes(mark);
        std::copy(bytes.begin(), bytes.end(), content.begin());
        const TempFile file(content);
        EXPECT_NE(refusal(file.path()).hint().find("raw:" + file.path()), std::string::npos) << mark;
        auto machine = open_machine({TargetKind::raw, file.path()}, {});
        ASSERT_TRUE(machine) << machine.error().to_string();
        EXPECT_EQ((*machine)->info().kind, "raw image");
        EXPECT_EQ((*machine)->registers(), nullptr);
        std::vector<std::byte> out(content.size());
        ASSERT_TRUE((*machine)->memory().read(Gpa{0}, out));
        EXPECT_EQ(out, content);
    }
    for (const char* path : {"/nonexistent", "/dev/zero", "/"}) {
        EXPECT_FALSE(open_machine({TargetKind::raw, path}, {})) << path;
    }
}

TEST(RawImage, SmallOneIsFlat) {
    std::vector<std::byte> content = pattern(3 * kMiB + 123, 1);
    content[0] = std::byte{0x53};
    const TempFile file(content);
    auto machine = open_file_machine(file.path());
    ASSERT_TRUE(machine) << machine.error().to_string();
    EXPECT_EQ((*machine)->info().kind, "raw image");
    EXPECT_EQ((*machine)->info().backend, "file");
    EXPECT_EQ((*machine)->info().name, file.path().substr(file.path().rfind('/') + 1));
    EXPECT_EQ((*machine)->registers(), nullptr);
    EXPECT_EQ((*machine)->pause_control(), nullptr);
    EXPECT_FALSE((*machine)->is_live());
    ASSERT_EQ((*machine)->layouts().size(), 1u);
    std::vector<std::byte> out(content.size());
    ASSERT_TRUE((*machine)->memory().read(Gpa{0}, out));
    EXPECT_EQ(out, content);
    EXPECT_TRUE((*machine)->check_alive());
    ASSERT_EQ(ftruncate(file.fd(), 100), 0);
    auto alive = (*machine)->check_alive();
    ASSERT_FALSE(alive);
    EXPECT_EQ(alive.error().code, Errc::stale);
}

std::vector<std::uint64_t> holes_of(const std::vector<MemoryLayout>& layouts, std::uint64_t size) {
    std::vector<std::uint64_t> holes;
    for (const MemoryLayout& layout : layouts) {
        EXPECT_TRUE(layout.validate(size)) << layout.name;
        EXPECT_FALSE(layout.name.empty());
        EXPECT_FALSE(layout.certain);
        holes.push_back(layout.extents.size() == 1 ? 0 : layout.extents[0].size);
        if (layout.extents.size() == 2) {
            EXPECT_EQ(layout.extents[1].start.value, 4 * kGiB);
        }
    }
    std::vector<std::uint64_t> unique = holes;
    std::sort(unique.begin(), unique.end());
    EXPECT_EQ(std::unique(unique.begin(), unique.end()), unique.end()) << "a layout is offered twice";
    return holes;
}

// Sparse files as large as the guests they stand for.
std::vector<std::uint64_t> holes_of_file(std::uint64_t size, std::initializer_list<std::uint64_t> data_at = {}) {
    const TempFile file(size);
    for (const std::uint64_t at : data_at) file.write(at, pattern(64 * kPageSize, 3));
    auto machine = open_file_machine(file.path());
    EXPECT_TRUE(machine.has_value());
    if (!machine) return {};
    const auto layouts = (*machine)->layouts();
    return holes_of({layouts.begin(), layouts.end()}, size);
}

TEST(RawImage, LayoutsLikeliestFirst) {
    using Holes = std::vector<std::uint64_t>;
    EXPECT_EQ(holes_of_file(512 * kMiB), (Holes{0}));
    EXPECT_EQ(holes_of_file(2 * kGiB), (Holes{0}));
    // 2.5 GiB: pc and q35 keep it all below; some machines have the hole at 2 GiB.
    EXPECT_EQ(holes_of_file(2560 * kMiB), (Holes{0, 0x8000'0000}));
    // 3 GiB: flat on pc; q35 has its hole at 2 GiB from 2.75 GiB on.
    const Holes three = holes_of_file(3 * kGiB);
    ASSERT_GE(three.size(), 2u);
    EXPECT_EQ(three[0], 0u);
    EXPECT_EQ(three[1], 0x8000'0000u);
    // 4 GiB in QEMU's order: pc's hole, then q35's.
    const Holes four = holes_of_file(4 * kGiB, {0xe100'0000});
    ASSERT_GE(four.size(), 3u);
    EXPECT_EQ(four[0], 0xc000'0000u);
    EXPECT_EQ(four[1], 0x8000'0000u);
    EXPECT_NE(std::find(four.begin(), four.end(), 0u), four.end()) << "flat is still offered";
    // 5 GiB with nothing where the hole would be: padded. With data there: not.
    EXPECT_EQ(holes_of_file(5 * kGiB, {0, kGiB, 4 * kGiB + kMiB}).front(), 0u);
    EXPECT_EQ(holes_of_file(5 * kGiB, {0, 0xe000'0000, 4 * kGiB + kMiB}).front(), 0xc000'0000u);
    // The firmware's flash below 4 GiB does not make a padded file an unpadded one.
    EXPECT_EQ(holes_of_file(5 * kGiB, {0, 0xfffc'0000 - 0}).front(), 0u);
}

// --- ELF cores ---

Core64 good_core() {
    Core64 core;
    core.segments.push_back({0, pattern(0xa0000, 1), 0, 0});
    core.segments.push_back({0xc0000, pattern(0x140000, 2), 0, 0});
    core.segments.push_back({4 * kGiB, pattern(0x100000, 3), 0, 0});
    core.vcpus.push_back({0xffffffff81001000, 0x80050033, 0x2a10000, 0x751eb0, 0xffff88800f800000, 0x1234, true, 1});
    core.vcpus.push_back({0x401000, 0x80050033, 0x3a10000, 0x751eb0, 0, 0xffff88800f900000, true, 1});
    core.padding = 0x438;  // QEMU's offsets are not aligned to pages
    return core;
}

TEST(ElfCore, GoodOneGivesMemoryAndRegisters) {
    Core64 core = good_core();
    const TempFile file(core.make_file());
    auto machine = open_file_machine(file.path());
    ASSERT_TRUE(machine) << machine.error().to_string();
    EXPECT_EQ((*machine)->info().kind, "ELF core");
    ASSERT_EQ((*machine)->layouts().size(), 1u);
    EXPECT_TRUE((*machine)->layouts()[0].certain);
    GuestMemory& memory = (*machine)->memory();
    const std::vector<MemoryRange> expected{{Gpa{0}, 0xa0000}, {Gpa{0xc0000}, 0x140000}, {Gpa{4 * kGiB}, 0x100000}};
    EXPECT_TRUE(std::equal(memory.ranges().begin(), memory.ranges().end(), expected.begin(), expected.end()));
    for (const auto& segment : core.segments) {
        std::vector<std::byte> out(segment.bytes.size());
        ASSERT_TRUE(memory.read(Gpa{segment.physical}, out));
        EXPECT_EQ(out, segment.bytes);
    }
    EXPECT_FALSE(memory.read_value<std::uint8_t>(Gpa{0xa0000}));
    ASSERT_NE((*machine)->registers(), nullptr);
    EXPECT_EQ((*machine)->registers()->route(), "ELF notes");
    auto vcpus = (*machine)->registers()->read_registers(RegisterSet::all);
    ASSERT_TRUE(vcpus);
    ASSERT_EQ(vcpus->size(), 2u);
    const VcpuState& first = (*vcpus)[0];
    EXPECT_EQ(first.index, 0u);
    EXPECT_EQ(first.rip, 0xffffffff81001000u);
    EXPECT_EQ(first.cr0, 0x80050033u);
    EXPECT_EQ(first.cr2, 0x2222u);
    EXPECT_EQ(first.cr3, 0x2a10000u);
    EXPECT_EQ(first.cr4, 0x751eb0u);
    EXPECT_EQ(first.efer, 0x500u);
    EXPECT_EQ(first.cs, 0x10u);
    EXPECT_EQ(first.rflags, 0x246u);
    EXPECT_EQ(first.gs_base, 0xffff88800f800000u);
    EXPECT_EQ(first.fs_base, 0xfffffe0000003000u);
    EXPECT_EQ(first.gdt.base, 0xfffffe0000008000u);
    EXPECT_EQ(first.idt.base, 0xfffffe0000009000u);
    EXPECT_EQ(first.idt.limit, 0x7fu + 9);
    EXPECT_EQ(first.kernel_gs_base, 0x1234u);
    EXPECT_FALSE(first.lstar.has_value()) << "not in the note: unknown, not zero";
    // rax rcx rdx rbx rsp rbp rsi rdi, from the note's rax rbx rcx rdx rsi rdi rsp rbp
    const std::array<std::uint64_t, 9> gpr{0x1000, 0x1002, 0x1003, 0x1001, 0x1006, 0x1007, 0x1004, 0x1005, 0x1008};
    EXPECT_TRUE(std::equal(gpr.begin(), gpr.end(), first.gpr.begin()));
    EXPECT_EQ((*vcpus)[1].index, 1u);
    EXPECT_EQ((*vcpus)[1].cr3, 0x3a10000u);
    EXPECT_EQ((*vcpus)[1].kernel_gs_base, 0xffff88800f900000u);
}

TEST(ElfCore, VariantsThatAreGood) {
    {
        Core64 core = good_core();  // the number of segments in a section header
        core.count_in_section = true;
        const TempFile file(core.make_file());
        auto machine = open_file_machine(file.path());
        ASSERT_TRUE(machine) << machine.error().to_string();
        EXPECT_EQ((*machine)->memory().ranges().size(), 3u);
    }
    {
        Core64 core = good_core();  // without notes of QEMU there are no control registers to offer
        core.vcpus.clear();
        const TempFile file(core.make_file());
        auto machine = open_file_machine(file.path());
        ASSERT_TRUE(machine);
        EXPECT_EQ((*machine)->registers(), nullptr);
        EXPECT_FALSE((*machine)->info().notes.empty());
    }
    {
        Core64 core = good_core();  // QEMU before 2.12, and an unknown version
        core.vcpus[0].has_kernel_gs = false;
        core.vcpus[1].version = 2;
        const TempFile file(core.make_file());
        auto vcpus = open_file_machine(file.path()).value()->registers()->read_registers(RegisterSet::control);
        ASSERT_EQ(vcpus->size(), 1u);
        EXPECT_FALSE((*vcpus)[0].kernel_gs_base.has_value());
    }
    {
        Core32 core;  // what QEMU writes for a guest that is not in long mode
        core.machine = EM_386;
        core.segments.push_back({0, pattern(kMiB, 1), 0, 0});
        core.vcpus.push_back({0xc0001000, 0x80050033, 0x1000, 0x20, 0, 0, true, 1});
        const TempFile file(core.make_file());
        auto machine = open_file_machine(file.path());
        ASSERT_TRUE(machine) << machine.error().to_string();
        std::vector<std::byte> out(kMiB);
        ASSERT_TRUE((*machine)->memory().read(Gpa{0}, out));
        EXPECT_EQ(out, core.segments[0].bytes);
        EXPECT_EQ((*machine)->registers()->read_registers(RegisterSet::control)->front().efer, 0u);
    }
}

TEST(ElfCore, MemoryBeyondTheFileIsZeros) {
    Core64 core;
    core.segments.push_back({0x1000, pattern(0x2345, 1), 3 * kGiB, 0});  // three gibibytes that are not in the file
    core.segments.push_back({8 * kGiB, {}, kMiB, 0});
    core.segments.push_back({kGiB, pattern(0x1000, 2), 0, 0});  // within the first one's zeros: data counts
    const TempFile file(core.make_file());
    auto machine = open_file_machine(file.path());
    ASSERT_TRUE(machine) << machine.error().to_string();
    GuestMemory& memory = (*machine)->memory();
    EXPECT_EQ(memory.total_size(), 0x2345 + 3 * kGiB + kMiB);
    std::vector<std::byte> out(0x4000), expected = core.segments[0].bytes;
    expected.resize(0x4000);
    ASSERT_TRUE(memory.read(Gpa{0x1000}, out));
    EXPECT_EQ(out, expected);
    EXPECT_EQ(memory.read_value<std::uint64_t>(Gpa{2 * kGiB}).value(), 0u);
    EXPECT_EQ(memory.read_value<std::uint64_t>(Gpa{8 * kGiB + kMiB - 8}).value(), 0u);
    EXPECT_FALSE(memory.read_value<std::uint64_t>(Gpa{8 * kGiB + kMiB - 4}));
    out.resize(0x3000);
    expected.assign(0x3000, std::byte{0});
    std::copy(core.segments[2].bytes.begin(), core.segments[2].bytes.end(), expected.begin() + 0x1000);
    ASSERT_TRUE(memory.read(Gpa{kGiB - 0x1000}, out));
    EXPECT_EQ(out, expected);
    std::uint64_t populated = 0;
    for (const MemoryRange& range : memory.populated({Gpa{0}, 1ull << 40})) populated += range.size;
    EXPECT_EQ(populated, 0x2345u + 0x1000);
}

TEST(ElfCore, OverlappingSegmentsAreCut) {
    Core64 core;
    core.segments.push_back({0x10000, pattern(0x10000, 1), 0, 0});
    core.segments.push_back({0x18000, pattern(0x10000, 2), 0, 0});
    core.segments.push_back({0x11000, pattern(0x1000, 3), 0, 0});
    const TempFile file(core.make_file());
    auto machine = open_file_machine(file.path());
    ASSERT_TRUE(machine) << machine.error().to_string();
    EXPECT_FALSE((*machine)->info().notes.empty());
    std::vector<std::byte> out(0x18000), expected = core.segments[0].bytes;
    expected.insert(expected.end(), core.segments[1].bytes.begin() + 0x8000, core.segments[1].bytes.end());
    ASSERT_TRUE((*machine)->memory().read(Gpa{0x10000}, out));
    EXPECT_EQ(out, expected);
}

TEST(ElfCore, TruncatedOneSaysHowMuchIsMissing) {
    std::vector<std::byte> content = good_core().make_file();
    const std::size_t whole = content.size();
    content.resize(whole - 12345);
    const TempFile file(content);
    const Error error = refusal(file.path());
    EXPECT_EQ(error.code, Errc::malformed);
    EXPECT_TRUE(contains(error, "12345 bytes of " + std::to_string(whole) + " are missing")) << error.to_string();
    // Cut anywhere in the headers: refused, too.
    for (const std::size_t size : {289u, 200u, 100u, 64u, 60u, 20u, 5u}) {
        content.resize(size);
        const TempFile shorter(content);
        EXPECT_EQ(refusal(shorter.path()).code, Errc::malformed) << size;
    }
}

TEST(ElfCore, MalformedOnesAreRefused) {
    using Change = std::function<void(Core64&)>;
    const std::pair<const char*, Change> changes[] = {
        {"no program headers", [](Core64& c) { c.header.e_phnum = 0; }},
        {"program headers of another size", [](Core64& c) { c.header.e_phentsize = 32; }},
        {"program headers outside the file", [](Core64& c) { c.header.e_phoff = ~0ull - 8; }},
        {"more program headers than fit",
         [](Core64& c) {
             c.header.e_phnum = 0xfffe;
             c.header.e_phoff = 1 << 20;
         }},
        {"a number in a section that is not there", [](Core64& c) { c.header.e_phnum = PN_XNUM; }},
        {"a section outside the file",
         [](Core64& c) {
             c.header.e_phnum = PN_XNUM;
             c.header.e_shoff = ~0ull;
             c.header.e_shentsize = sizeof(Elf64_Shdr);
         }},
        {"an unknown class", [](Core64& c) { c.header.e_ident[EI_CLASS] = 3; }},
        {"more in the file than in memory", [](Core64& c) { c.program_headers[1].p_memsz = 1; }},
        {"offset and size overflow", [](Core64& c) { c.program_headers[1].p_offset = ~0ull - 10; }},
        {"file size without end",
         [](Core64& c) { c.program_headers[1].p_filesz = c.program_headers[1].p_memsz = ~0ull; }},
        {"address overflow", [](Core64& c) { c.program_headers[1].p_paddr = ~0ull - 0x1000; }},
        {"address that x86 cannot have", [](Core64& c) { c.program_headers[1].p_paddr = 1ull << 53; }},
        {"endless zeros",
         [](Core64& c) {
             for (auto& p : c.program_headers)
                 if (p.p_type == PT_LOAD) p.p_memsz = 1ull << 51;
         }},
        {"no memory",
         [](Core64& c) {
             for (auto& p : c.program_headers) p.p_type = PT_NULL;
         }},
    };
    for (const auto& [name, change] : changes) {
        SCOPED_TRACE(name);
        Core64 core = good_core();
        core.prepare();
        change(core);
        const TempFile file(core.build());
        EXPECT_EQ(refusal(file.path()).code, Errc::malformed);
    }
}

TEST(ElfCore, OthersAreNamed) {
    Core64 program = good_core();
    program.prepare();
    program.header.e_type = ET_EXEC;
    const auto named = [](Core64& core, std::string_view name) {
        const TempFile file(core.build());
        const Error error = refusal(file.path());
        EXPECT_EQ(error.code, Errc::unsupported);
        EXPECT_TRUE(contains(error, name)) << error.to_string();
    };
    named(program, "not a core");
    Core64 arm = good_core();
    arm.machine = EM_AARCH64;
    arm.prepare();
    named(arm, "another architecture");
    Core64 big = good_core();
    big.prepare();
    big.header.e_ident[EI_DATA] = ELFDATA2MSB;
    named(big, "big-endian");
    Core64 process = good_core();
    for (auto& segment : process.segments) {
        segment.virtual_address = 0x400000 + segment.physical;
        segment.physical = 0;
    }
    process.prepare();
    named(process, "of a process");
}

TEST(ElfCore, HostileNotesAreSkipped) {
    std::mt19937_64 random(8);
    for (int round = 0; round < 200; ++round) {
        Core64 core = good_core();
        core.segments.resize(1);
        core.segments[0].bytes.resize(0x1000);
        core.more_notes = pattern(random() % 600, static_cast<unsigned>(round));
        if (round % 2 == 0) {  // sizes that overflow when they are rounded up
            const std::uint32_t huge = 0xffff'fffd;
            core.more_notes.resize(24);
            std::memcpy(core.more_notes.data(), &huge, 4);
            std::memcpy(core.more_notes.data() + 4, &huge, 4);
        }
        const TempFile file(core.make_file());
        auto machine = open_file_machine(file.path());
        ASSERT_TRUE(machine);
        EXPECT_EQ((*machine)->registers()->read_registers(RegisterSet::all)->size(), 2u);
    }
    Core64 core = good_core();  // a note segment that is said to be longer than the file
    core.prepare();
    core.program_headers[0].p_filesz = 1ull << 40;
    const TempFile file(core.build());
    EXPECT_TRUE(open_file_machine(file.path()));
}

// Any byte of the headers may be anything: no crash, and what is accepted has a valid layout.
TEST(ElfCore, MutatedHeaders) {
    Core64 core = good_core();
    const std::vector<std::byte> good = core.make_file();
    std::mt19937_64 random(99);
    unsigned accepted = 0;
    for (int round = 0; round < 3000; ++round) {
        std::vector<std::byte> bytes = good;
        for (std::uint64_t n = 1 + random() % 4; n > 0; --n)
            bytes[16 + random() % 1200] = static_cast<std::byte>(random() % 4 == 0 ? 0xff : random());
        const auto copy = [&](std::uint64_t offset, std::span<std::byte> out) {
            std::memcpy(out.data(), bytes.data() + offset, out.size());
            return true;
        };
        auto parsed = parse_elf_core({bytes.size(), copy});
        if (!parsed) continue;
        ++accepted;
        ASSERT_TRUE((MemoryLayout{"x", parsed->in_file, true}.validate(bytes.size())));
    }
    EXPECT_GT(accepted, 100u);
    EXPECT_LT(accepted, 3000u);
}

}  // namespace
}  // namespace vitrine
