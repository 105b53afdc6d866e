// The file of a recording: what is written is read again, and nothing that a file can claim does harm.
#include "sources/recorded/recorded_file.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <tuple>

#include "sources/recorded/recorded_store.h"
#include "support/temp_file.h"
#include "vitrine/machine/machine.h"

namespace vitrine {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::uint64_t kMiB = 1u << 20;

VcpuState vcpu() {
    VcpuState s;
    s.index = 3;
    std::uint64_t next = 0x1111;
    for (auto* value :
         {&s.cr0, &s.cr2, &s.cr3, &s.cr4, &s.efer, &s.rip, &s.rflags, &s.fs_base, &s.gs_base, &s.idt.base, &s.gdt.base})
        *value = next += 0x1111;
    for (auto& value : s.gpr) value = next += 0x1111;
    s.cs = 0x33;
    s.idt.limit = 0xfff;
    s.gdt.limit = 0x7f;
    s.lstar = 0xffffffff81800000;
    s.sysenter_cs = 0;
    return s;
}

RecordedIndex index() {
    RecordedIndex index;
    index.facts = {"qemu:web1", "6.1.0", 1'700'000'000, {"processes", "types"}};
    index.machine_kind = "QEMU";
    index.machine_name = "web1";
    index.uncovered = "some of it";
    index.store_size = 4 * kMiB;
    index.layout = {"two parts", {{Gpa{0}, kMiB, 0}, {Gpa{4096 * kMiB}, 3 * kMiB, kMiB}}, true};
    index.registers = {{vcpu(), vcpu()}, "QMP"};
    index.pages = {{0x1000, 4096, 1},
                   {0x2000, 4096, RecordedPage::kZeros},
                   {0x5000, 4096, 0},
                   {0x6000, 4096, RecordedPage::kUnreadable},
                   {0x7000, 0x800, 1}};
    return index;
}

Bytes contents() {
    Bytes bytes(2 * kPageSize);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i / 3 + 1);
    return bytes;
}

Bytes good_file() { return write_recording(index(), contents()).value(); }

void put(Bytes& file, std::size_t offset, std::uint64_t value, std::size_t size = 8) {
    std::memcpy(file.data() + offset, &value, size);
}
// So that what lies behind the checksum is reached.
Bytes sealed(Bytes file) {
    put(file, file.size() - 8, recording_checksum(std::span(file).first(file.size() - 8)));
    return file;
}

Bytes pack(const Bytes& bytes) {
    Bytes packed(ZSTD_compressBound(bytes.size()));
    packed.resize(ZSTD_compress(packed.data(), packed.size(), bytes.data(), bytes.size(), 3));
    return packed;
}

// A file of these parts, with sizes as they are unless told otherwise.
Bytes file_of(const Bytes& index_packed, std::uint64_t index_size, const Bytes& contents_packed, std::uint64_t pages) {
    Bytes file = good_file();
    file.resize(64);
    put(file, 24, index_packed.size());
    put(file, 32, index_size);
    put(file, 40, contents_packed.size());
    put(file, 48, pages);
    file.insert(file.end(), index_packed.begin(), index_packed.end());
    file.insert(file.end(), contents_packed.begin(), contents_packed.end());
    file.resize(file.size() + 8);
    put(file, 16, file.size());
    return sealed(std::move(file));
}

// The error of one that must be refused, checked for what a person needs.
Error refusal(const Bytes& file) {
    const auto parsed = parse_recording(file);
    EXPECT_FALSE(parsed);
    if (parsed) return {};
    EXPECT_EQ(parsed.error().to_string().find('\n'), std::string::npos);
    EXPECT_FALSE(parsed.error().hint().empty());
    return parsed.error();
}

std::string why(const Bytes& file) { return refusal(file).to_string(); }

TEST(RecordedFile, PackedSmallHoldsTheSame) {
    const auto parsed = parse_recording(write_recording(index(), contents(), Packing::small).value());
    ASSERT_TRUE(parsed) << parsed.error().to_string();
    EXPECT_TRUE(std::ranges::equal(parsed->contents.span(), contents()));
}

TEST(RecordedFile, KeepsEverything) {
    const auto parsed = parse_recording(good_file());
    ASSERT_TRUE(parsed) << parsed.error().to_string();
    const RecordedIndex& got = parsed->index;
    const RecordedIndex want = index();
    EXPECT_EQ(got.facts.target, want.facts.target);
    EXPECT_EQ(got.facts.kernel, want.facts.kernel);
    EXPECT_EQ(got.facts.recorded_at, want.facts.recorded_at);
    EXPECT_EQ(got.facts.queries, want.facts.queries);
    EXPECT_EQ(got.machine_kind + got.machine_name + got.uncovered, "QEMUweb1some of it");
    EXPECT_EQ(got.store_size, want.store_size);
    EXPECT_EQ(got.layout.name, want.layout.name);
    EXPECT_EQ(got.layout.extents, want.layout.extents);
    EXPECT_TRUE(got.layout.certain);
    EXPECT_EQ(got.registers.route, "QMP");
    ASSERT_EQ(got.registers.vcpus.size(), 2u);
    const VcpuState& a = got.registers.vcpus[1];
    const VcpuState b = vcpu();
    EXPECT_EQ(
        std::tie(a.index, a.cr0, a.cr2, a.cr3, a.cr4, a.efer, a.rip, a.rflags, a.gpr, a.cs, a.fs_base, a.gs_base),
        std::tie(b.index, b.cr0, b.cr2, b.cr3, b.cr4, b.efer, b.rip, b.rflags, b.gpr, b.cs, b.fs_base, b.gs_base));
    EXPECT_EQ(std::tie(a.idt.base, a.idt.limit, a.gdt.base, a.gdt.limit, a.kernel_gs_base, a.star, a.lstar, a.cstar,
                       a.sfmask, a.sysenter_cs, a.sysenter_esp, a.sysenter_eip),
              std::tie(b.idt.base, b.idt.limit, b.gdt.base, b.gdt.limit, b.kernel_gs_base, b.star, b.lstar, b.cstar,
                       b.sfmask, b.sysenter_cs, b.sysenter_esp, b.sysenter_eip));
    ASSERT_EQ(got.pages.size(), want.pages.size());
    for (std::size_t i = 0; i < got.pages.size(); ++i) {
        EXPECT_EQ(std::tie(got.pages[i].offset, got.pages[i].size, got.pages[i].content),
                  std::tie(want.pages[i].offset, want.pages[i].size, want.pages[i].content));
    }
    const Bytes wanted = contents();
    EXPECT_TRUE(
        std::equal(wanted.begin(), wanted.end(), parsed->contents.span().begin(), parsed->contents.span().end()));
}

TEST(RecordedFile, OfNothingButZerosHasNoContents) {
    RecordedIndex zeros = index();
    zeros.pages = {{0, 4096, RecordedPage::kZeros}};
    const auto parsed = parse_recording(write_recording(zeros, {}).value());
    ASSERT_TRUE(parsed) << parsed.error().to_string();
    EXPECT_EQ(parsed->contents.size(), 0u);
}

TEST(RecordedFile, CutShortAnywhereIsRefused) {
    const Bytes file = good_file();
    for (std::size_t size = 0; size < file.size(); ++size)
        EXPECT_EQ(refusal(Bytes(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size))).code, Errc::malformed);
    Bytes longer = file;
    longer.push_back(std::byte{0});
    EXPECT_EQ(refusal(longer).code, Errc::malformed);
}

TEST(RecordedFile, AnyChangedByteIsFound) {
    const Bytes file = good_file();
    for (std::size_t at = 0; at < file.size(); ++at) {
        Bytes changed = file;
        changed[at] ^= std::byte{0x10};
        const Error error = refusal(changed);
        EXPECT_TRUE(error.code == Errc::malformed || (error.code == Errc::unsupported && at >= 8 && at < 12)) << at;
    }
}

// With a checksum that is right: a file made to do harm.
TEST(RecordedFile, AnyChangedByteUnderARightChecksumDoesNoHarm) {
    const Bytes file = good_file();
    std::size_t accepted = 0;
    std::mt19937 random(1);
    for (std::size_t round = 0; round < 3000; ++round) {
        Bytes changed = file;
        for (std::size_t n = 1 + random() % 3; n > 0; --n)
            changed[12 + random() % (file.size() - 12)] = static_cast<std::byte>(random());
        const auto parsed = parse_recording(sealed(changed));
        if (!parsed) continue;
        ++accepted;
        EXPECT_TRUE(parsed->index.layout.validate(parsed->index.store_size));
        for (const RecordedPage& page : parsed->index.pages) {
            EXPECT_LE(page.offset + page.size, parsed->index.store_size);
            EXPECT_TRUE(page.content >= RecordedPage::kUnreadable ||
                        (page.content + 1) * kPageSize <= parsed->contents.size());
        }
    }
    EXPECT_GT(accepted, 0u);
}

TEST(RecordedFile, OtherVersionsAreNamed) {
    Bytes file = good_file();
    put(file, 8, 7, 4);
    const Error error = refusal(sealed(file));
    EXPECT_EQ(error.code, Errc::unsupported);
    EXPECT_NE(error.to_string().find("version 7"), std::string::npos);
}

TEST(RecordedFile, BombsAreRefused) {
    const Bytes zeros = pack(Bytes(64 * kMiB));
    const Bytes some = pack(Bytes(kMiB));
    // More than is told, more than there may be, more than anything honest packs to.
    EXPECT_NE(why(file_of(zeros, 1000, {}, 0)).find("unpacked"), std::string::npos);
    EXPECT_NE(why(file_of(zeros, 65 * kMiB, {}, 0)).find("more than a recording can"), std::string::npos);
    EXPECT_NE(why(file_of(some, 64 * kMiB, {}, 0)).find("more than a recording can"), std::string::npos);
    EXPECT_NE(why(file_of(some, kMiB, zeros, 1u << 19)).find("more than a recording can"), std::string::npos);
    EXPECT_NE(why(file_of(some, kMiB, some, 1u << 18)).find("more than a recording can"), std::string::npos);
    EXPECT_NE(why(file_of(some, kMiB, some, ~std::uint64_t{0} / 4096 + 2)).find("more than"), std::string::npos);
    EXPECT_NE(why(file_of(pack(Bytes(1000)), 1000, {}, 0)).find("makes no sense"), std::string::npos)
        << "an index of zeros";
}

TEST(RecordedFile, ContentsThatAreMoreOrLessThanToldAreRefused) {
    const Bytes file = good_file();
    ByteView view(file);
    const auto index_size = *view.u64(24);
    const Bytes packed(file.begin() + 64, file.begin() + 64 + static_cast<std::ptrdiff_t>(index_size));
    ASSERT_TRUE(parse_recording(file_of(packed, *view.u64(32), pack(Bytes(2 * kPageSize)), 2)));
    EXPECT_NE(why(file_of(packed, *view.u64(32), pack(Bytes(3 * kPageSize)), 2)).find("unpacked"), std::string::npos);
    EXPECT_NE(why(file_of(packed, *view.u64(32), pack(Bytes(kPageSize)), 2)).find("unpacked"), std::string::npos);
    EXPECT_NE(why(file_of(packed, *view.u64(32), pack(Bytes(kPageSize)), 1)).find("not there"), std::string::npos);
    EXPECT_NE(why(file_of(packed, *view.u64(32), {}, 2)).find("more than"), std::string::npos);
}

TEST(RecordedFile, PagesLieWhereTheyCan) {
    const auto refused = [](std::vector<RecordedPage> pages) {
        RecordedIndex bad = index();
        bad.pages = std::move(pages);
        return why(write_recording(bad, contents()).value());
    };
    EXPECT_NE(refused({{0x1000, 4096, 0}, {0x1000, 4096, 1}}).find("where none can be"), std::string::npos);
    EXPECT_NE(refused({{0x1000, 4096, 0}, {0x1fff, 4096, 1}}).find("where none can be"), std::string::npos);
    EXPECT_NE(refused({{0x3000, 4096, 0}, {0x1000, 4096, 1}}).find("where none can be"), std::string::npos);
    EXPECT_NE(refused({{4 * kMiB - 1, 2, 0}}).find("where none can be"), std::string::npos);
    EXPECT_NE(refused({{~std::uint64_t{0}, 4096, 0}}).find("where none can be"), std::string::npos);
    EXPECT_NE(refused({{0x1000, 0, 0}}).find("where none can be"), std::string::npos);
    EXPECT_NE(refused({{0x1000, 4097, 0}}).find("where none can be"), std::string::npos);
    EXPECT_NE(refused({{0x1000, 4096, 2}}).find("not there"), std::string::npos);
    RecordedIndex outside = index();
    outside.layout.extents[1].size += 1;
    EXPECT_NE(why(write_recording(outside, contents()).value()).find("outside the stored bytes"), std::string::npos);
}

TEST(RecordedStore, GivesWhatIsThereAndNamesWhatIsNot) {
    auto parsed = parse_recording(good_file());
    ASSERT_TRUE(parsed);
    auto store = std::make_shared<RecordedStore>(4 * kMiB, parsed->index.pages, std::move(parsed->contents));
    GuestMemory memory(store, parsed->index.layout);
    const Bytes all = contents();
    Bytes bytes(2 * kPageSize);
    ASSERT_TRUE(memory.read(Gpa{0x1000}, bytes));
    EXPECT_TRUE(std::equal(bytes.begin(), bytes.begin() + kPageSize, all.begin() + kPageSize));
    EXPECT_TRUE(std::all_of(bytes.begin() + kPageSize, bytes.end(), [](std::byte b) { return b == std::byte{0}; }));
    const auto absent = memory.read_value<std::uint64_t>(Gpa{0x3000});
    ASSERT_FALSE(absent);
    EXPECT_EQ(absent.error().code, Errc::not_recorded);
    EXPECT_NE(absent.error().to_string().find("this page is not part of the recording"), std::string::npos);
    EXPECT_EQ(memory.read(Gpa{0x2ff8}, std::span(bytes).first(16)).error().code, Errc::not_recorded);
    EXPECT_EQ(memory.read_value<std::uint64_t>(Gpa{0x6000}).error().code, Errc::fault) << "it was so in the guest";
    EXPECT_EQ(memory.read_value<std::uint64_t>(Gpa{0x77fc}).error().code, Errc::not_recorded) << "half of a page";
    // A scan passes over what is not there.
    EXPECT_EQ(memory.populated({Gpa{0}, kMiB}),
              (std::vector<MemoryRange>{{Gpa{0x1000}, 0x1000}, {Gpa{0x5000}, 0x1000}, {Gpa{0x7000}, 0x800}}));
    std::vector<std::uint64_t> words(8);
    ASSERT_TRUE(memory.read_strided(Gpa{0}, kPageSize, 8, 8, std::as_writable_bytes(std::span(words))));
    EXPECT_EQ(words[3], 0u);
    EXPECT_EQ(words[5], load<std::uint64_t>(all.data()));
}

TEST(RecordedMachine, IsToldByItsContent) {
    const testing::TempFile file(good_file());
    auto machine = open_machine({TargetKind::file, file.path()}, {});
    ASSERT_TRUE(machine) << machine.error().to_string();
    EXPECT_EQ((*machine)->info().kind, "recording");
    EXPECT_EQ((*machine)->info().uncovered, "some of it");
    EXPECT_FALSE((*machine)->is_live());
    ASSERT_EQ((*machine)->layouts().size(), 1u);
    ASSERT_EQ((*machine)->info().notes.size(), 2u);
    EXPECT_EQ((*machine)->info().notes[0], "recorded 2023-11-14T22:13:20Z of qemu:web1 (QEMU web1), Linux 6.1.0");
    EXPECT_EQ((*machine)->info().notes[1], "has the answers to: processes, types");
    ASSERT_NE((*machine)->registers(), nullptr);
    EXPECT_EQ((*machine)->registers()->read_registers(RegisterSet::all)->size(), 2u);
    EXPECT_EQ((*machine)->registers()->route(), "recording of QMP");

    Bytes cut = good_file();
    cut.resize(cut.size() - 1);
    const testing::TempFile damaged(cut);
    const auto refused = open_machine({TargetKind::file, damaged.path()}, {});
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().to_string().find(damaged.path() + ": damaged recording"), std::string::npos);
    EXPECT_NE(refused.error().hint().find("raw:"), std::string::npos);
}

}  // namespace
}  // namespace vitrine
