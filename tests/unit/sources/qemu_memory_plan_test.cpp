#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <set>

#include "sources/qemu/backing.h"
#include "sources/qemu/memory_plan.h"
#include "sources/qemu/x86_layout.h"

namespace vitrine {

void PrintTo(const LayoutExtent& e, std::ostream* out) {
    *out << fmt::format("{{{:#x}, {:#x}, {:#x}}}", e.start.value, e.size, e.offset);
}

namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint64_t kGiB = 1u << 30;

TEST(X86Layout, SplitsAsTheChipsetsDo) {
    const auto split = [](X86Chipset chipset, std::uint64_t mib, std::uint64_t max = 0) {
        return ram_below_4g(chipset, mib * kMiB, max);
    };
    EXPECT_EQ(split(X86Chipset::i440fx, 128), 128 * kMiB);
    EXPECT_EQ(split(X86Chipset::i440fx, 3583), 3583 * kMiB);
    EXPECT_EQ(split(X86Chipset::i440fx, 3584), 3 * kGiB);
    EXPECT_EQ(split(X86Chipset::i440fx, 5000, kGiB), kGiB);
    EXPECT_EQ(split(X86Chipset::q35, 2815), 2815 * kMiB);
    EXPECT_EQ(split(X86Chipset::q35, 2816), 2 * kGiB);
    EXPECT_EQ(split(X86Chipset::q35, 3000, kGiB), kGiB);
    EXPECT_EQ(split(X86Chipset::q35, 3000, 3 * kGiB), 2 * kGiB);
    EXPECT_EQ(split(X86Chipset::microvm, 3073), 3 * kGiB);
    EXPECT_EQ(chipset_of(""), X86Chipset::i440fx);
    EXPECT_EQ(chipset_of("pc-i440fx-rhel7.6.0"), X86Chipset::i440fx);
    EXPECT_EQ(chipset_of("pc-q35-7.2"), X86Chipset::q35);
    EXPECT_EQ(chipset_of("microvm"), X86Chipset::microvm);
}

TEST(X86Layout, BlocksFollowEachOtherAroundTheHole) {
    const std::array<StoredBlock, 2> blocks{StoredBlock{kGiB, kGiB}, StoredBlock{0, kGiB}};
    const MemoryLayout layout = x86_layout(blocks, kGiB + 512 * kMiB, true, "x");
    EXPECT_THAT(
        layout.extents,
        ElementsAre(LayoutExtent{Gpa{0}, 0xa0000, kGiB}, LayoutExtent{Gpa{0xc0000}, kGiB - 0xc0000, kGiB + 0xc0000},
                    LayoutExtent{Gpa{kGiB}, 512 * kMiB, 0}, LayoutExtent{Gpa{4 * kGiB}, 512 * kMiB, 512 * kMiB}));
    EXPECT_TRUE(layout.validate(2 * kGiB));
}

// QEMU 7.2, pc, 5000 MiB, after the firmware has run; shortened.
constexpr std::string_view kTree = R"(FlatView #0
 AS "cpu-smm-0", root: memory
 Root memory region: memory
  0000000000000000-00000000ffffffff (prio 0, ram): smm.ram

FlatView #1
 AS "memory", root: system
 AS "cpu-memory-0", root: system
 Root memory region: system
  0000000000000000-000000000009ffff (prio 0, ram): pc.ram KVM
  00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem
  00000000000c0000-00000000000cafff (prio 0, rom): pc.ram @00000000000c0000 KVM
  00000000000cb000-00000000000fffff (prio 0, ram): pc.ram @00000000000cb000
  0000000000100000-00000000bfffffff (prio 0, ram): pc.ram @0000000000100000
  00000000fd000000-00000000fdffffff (prio 1, ram): vga.vram
  00000000fec00000-00000000fec00fff (prio 0, i/o): kvm-ioapic
  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios
  0000000100000000-00000001787fffff (prio 0, ram): pc.ram @00000000c0000000

FlatView #2
 AS "I/O", root: io
 Root memory region: io
  0000000000000000-0000000000000007 (prio 0, i/o): dma-chan

FlatView #3
 AS "VGA", root: bus master container
 Root memory region: (none)
  No rendered FlatView

)";

TEST(FlatView, TakesTheSystemsMemory) {
    const auto view = parse_flat_view(kTree);
    ASSERT_TRUE(view) << view.error().to_string();
    ASSERT_EQ(view->size(), 9u);
    EXPECT_EQ((*view)[0], (FlatRange{0, 0xa0000, 0, "ram", "pc.ram"}));
    EXPECT_EQ((*view)[2], (FlatRange{0xc0000, 0xb000, 0xc0000, "rom", "pc.ram"}));
    EXPECT_EQ((*view)[8], (FlatRange{4 * kGiB, 5000 * kMiB - 0xc0000000, 0xc0000000, "ram", "pc.ram"}));
}

TEST(FlatView, RefusesWhatIsBroken) {
    EXPECT_EQ(parse_flat_view("").error().code, Errc::not_found);
    EXPECT_EQ(parse_flat_view("FlatView #0\n AS \"memory\", root: system\n").error().code, Errc::not_found);
    const std::string head = "FlatView #0\n AS \"memory\", root: system\n Root memory region: system\n";
    for (const char* line :
         {"  0000000000000000-zz (prio 0, ram): a", "  0000000000002000-0000000000001000 (prio 0, ram): a",
          "  0000000000000000-0000000000000fff prio 0", "  0000000000000000-0000000000000fff (prio 0, ram): a @zz",
          "  x", "  0000000000000000-0000000000000fff (prio ): , ram"}) {
        EXPECT_FALSE(parse_flat_view(head + line + "\n")) << line;
    }
    const std::string overlap =
        "  0000000000000000-0000000000001fff (prio 0, ram): a\n  0000000000001000-0000000000002fff (prio 0, ram): a\n";
    EXPECT_FALSE(parse_flat_view(head + overlap));
    const std::string all =
        "  0000000000000000-ffffffffffffffff (prio 0, ram): a\n  0000000000001000-0000000000002fff (prio 0, ram): a\n";
    EXPECT_FALSE(parse_flat_view(head + all));
}

TEST(FlatView, HostAddresses) {
    EXPECT_EQ(parse_gpa2hva("Host virtual address for 0x0 (pc.ram) is 0x7f7ec7bff000\n"), 0x7f7ec7bff000u);
    for (const char* text : {"", "Memory at address 0xa0000 is not RAM", "No memory is mapped at address 0x1",
                             "Host virtual address for 0x0 (x) is 0xzz"}) {
        EXPECT_FALSE(parse_gpa2hva(text)) << text;
    }
    EXPECT_EQ(backend_id_of_region("/objects/mem0"), "mem0");
    EXPECT_EQ(backend_id_of_region("\\x2fobjects\\x2fmem0"), "mem0");
    EXPECT_EQ(backend_id_of_region("mem0"), "mem0");
}

TEST(GuestBlocks, MainMemoryAndNothingOfDevices) {
    std::vector<std::string> notes;
    const auto blocks = select_guest_blocks(*parse_flat_view(kTree), 5000 * kMiB, {}, notes);
    ASSERT_TRUE(blocks) << blocks.error().to_string();
    ASSERT_EQ(blocks->size(), 1u);
    EXPECT_EQ((*blocks)[0].name, "pc.ram");
    EXPECT_EQ((*blocks)[0].size(), 5000 * kMiB);
    EXPECT_EQ((*blocks)[0].ranges.size(), 5u);
    // A size that does not come out is not explained away.
    EXPECT_EQ(select_guest_blocks(*parse_flat_view(kTree), 6000 * kMiB, {}, notes).error().code, Errc::inconsistent);
    EXPECT_EQ(select_guest_blocks({}, kGiB, {}, notes).error().code, Errc::inconsistent);
}

TEST(GuestBlocks, NodesAndPluggedMemory) {
    const std::vector<FlatRange> view{{0, 0xa0000, 0, "ram", "n0"},
                                      {0xc0000, 0x20000, 0, "rom", "pc.rom"},
                                      {kMiB, 2 * kGiB - kMiB, kMiB, "ram", "n0"},
                                      {0xe0000000, 256 * kMiB, 0, "ram", "shmem"},
                                      {4 * kGiB, kGiB, 2 * kGiB, "ram", "n0"},
                                      {5 * kGiB, kGiB, 0, "ram", "n1"},
                                      {6 * kGiB, kGiB, 0, "ram", "plugged"},
                                      {8 * kGiB, kGiB, 0, "ram", "pmem"},
                                      {10 * kGiB, kGiB, 0, "ram", "virtio"}};
    const std::vector<MemoryDevice> devices{{"dimm", "plugged", 6 * kGiB, kGiB},
                                            {"nvdimm", "pmem", 8 * kGiB, kGiB},
                                            {"virtio-mem", "virtio", 10 * kGiB, 2 * kGiB}};
    std::vector<std::string> notes;
    const auto blocks = select_guest_blocks(view, 4 * kGiB, devices, notes);
    ASSERT_TRUE(blocks) << blocks.error().to_string();
    std::vector<std::string> names;
    for (const GuestBlock& b : *blocks) names.push_back(b.name);
    EXPECT_THAT(names, ElementsAre("n0", "n1", "plugged", "virtio"));
    EXPECT_THAT(notes, ElementsAre(HasSubstr("pmem")));
}

TEST(GuestBlocks, OffsetsThatOverflow) {
    std::vector<std::string> notes;
    EXPECT_FALSE(select_guest_blocks({{0, kGiB, ~std::uint64_t{0} - 5, "ram", "x"}}, kGiB, {}, notes));
    EXPECT_FALSE(select_guest_blocks({{0, kGiB, 1ull << 63, "ram", "x"}}, kGiB, {}, notes));
}

// A process map in few words: start, size in MiB, flags, path.
std::vector<HostMapping> maps_of(
    const std::vector<std::tuple<std::uint64_t, std::uint64_t, const char*, const char*>>& rows) {
    std::string text;
    for (const auto& [start, mib, flags, path] : rows) {
        const std::uint64_t size = mib == 0 ? 4096 : mib * kMiB;
        const int inode = *path == '\0' ? 0 : static_cast<int>(start / kMiB % 100'000) + 1;
        text += fmt::format("{:x}-{:x} {} 00000000 00:01 {} {}\n", start, start + size, flags, inode, path);
    }
    const auto maps = parse_maps(text);
    EXPECT_TRUE(maps);
    return *maps;
}

constexpr std::uint64_t kBase = 0x7f0000000000;

TEST(PlanFromMaps, OneBlockWithItsGuard) {
    QemuCommandLine line;
    line.memory_size = 5000 * kMiB;
    line.machine = "q35";
    line.size_is_known = true;
    // A thread's stack below, of the same kind: not a part of the block.
    const auto maps = maps_of({{kBase - 8 * kMiB, 8, "rw-p", ""},
                               {kBase, 5000, "rw-p", ""},
                               {kBase + 5000 * kMiB, 0, "---p", ""},
                               {kBase + 6000 * kMiB, 5000, "rwxp", ""}});
    const auto plan = plan_from_command_line(line, maps);
    ASSERT_TRUE(plan) << plan.error().to_string();
    EXPECT_THAT(plan->blocks, ElementsAre(RamBlock{"main memory", kBase, 5000 * kMiB}));
    ASSERT_GE(plan->layouts.size(), 2u);
    EXPECT_FALSE(plan->layouts[0].certain);
    EXPECT_EQ(plan->layouts[0].extents[1].size, 2 * kGiB - 0xc0000);
    EXPECT_EQ(plan->layouts[1].extents[1].size, 3 * kGiB - 0xc0000);
}

TEST(PlanFromMaps, JoinedWithWhatLiesBelow) {
    QemuCommandLine line;
    line.memory_size = 512 * kMiB;
    line.size_is_known = true;
    const auto plan = plan_from_command_line(
        line, maps_of({{kBase - 8 * kMiB, 520, "rw-p", ""}, {kBase + 512 * kMiB, 0, "---p", ""}}));
    ASSERT_TRUE(plan) << plan.error().to_string();
    EXPECT_THAT(plan->blocks, ElementsAre(RamBlock{"main memory", kBase, 512 * kMiB}));
    // Split in parts by a policy for some of it.
    const auto split = plan_from_command_line(line, maps_of({{kBase, 100, "rw-p", ""},
                                                             {kBase + 100 * kMiB, 412, "rw-p", ""},
                                                             {kBase + 512 * kMiB, 0, "---p", ""}}));
    ASSERT_TRUE(split);
    EXPECT_THAT(split->blocks, ElementsAre(RamBlock{"main memory", kBase, 512 * kMiB}));
}

TEST(PlanFromMaps, EqualBlocksGiveEveryOrder) {
    QemuCommandLine line;
    line.memory_size = 1536 * kMiB;
    line.size_is_known = true;
    for (const char* id : {"a", "b", "c"}) {
        line.backends.push_back({"memory-backend-ram", id, 512 * kMiB, ""});
        line.numa_backends.emplace_back(id);
    }
    std::vector<std::tuple<std::uint64_t, std::uint64_t, const char*, const char*>> rows;
    for (std::uint64_t i = 0; i < 3; ++i) {
        rows.push_back({kBase + i * 1024 * kMiB, 512, "rw-p", ""});
        rows.push_back({kBase + i * 1024 * kMiB + 512 * kMiB, 0, "---p", ""});
    }
    const auto plan = plan_from_command_line(line, maps_of(rows));
    ASSERT_TRUE(plan);
    EXPECT_EQ(plan->blocks.size(), 3u);
    ASSERT_EQ(plan->layouts.size(), 6u);
    // mmap() goes downwards: the first block made lies highest.
    EXPECT_EQ(plan->blocks[0].host_start, kBase + 2048 * kMiB);
    for (std::size_t i = 0; i < 6; ++i) {
        for (std::size_t k = 0; k < i; ++k) EXPECT_NE(plan->layouts[i].extents, plan->layouts[k].extents);
    }
}

TEST(PlanFromMaps, ManyEqualBlocksAreBounded) {
    QemuCommandLine line;
    line.size_is_known = true;
    std::vector<std::tuple<std::uint64_t, std::uint64_t, const char*, const char*>> rows;
    for (std::uint64_t i = 0; i < 64; ++i) {
        line.backends.push_back({"memory-backend-ram", fmt::format("n{}", i), 128 * kMiB, ""});
        line.numa_backends.push_back(fmt::format("n{}", i));
        rows.push_back({kBase + i * 256 * kMiB, 128, "rw-p", ""});
        rows.push_back({kBase + i * 256 * kMiB + 128 * kMiB, 0, "---p", ""});
    }
    line.memory_size = 64 * 128 * kMiB;
    const auto plan = plan_from_command_line(line, maps_of(rows));
    ASSERT_TRUE(plan);
    EXPECT_EQ(plan->layouts.size(), 24u);
    EXPECT_THAT(plan->notes, testing::Contains(HasSubstr("more mappings")));
}

TEST(PlanFromMaps, BackendsByKindAndPath) {
    QemuCommandLine line;
    line.memory_size = 256 * kMiB;
    line.size_is_known = true;
    line.memory_backend = "m";
    const auto maps = maps_of({{kBase, 256, "rw-p", ""},
                               {kBase + kGiB, 256, "rw-s", "/memfd:x (deleted)"},
                               {kBase + 2 * kGiB, 256, "rw-s", "/dev/shm/other"},
                               {kBase + 3 * kGiB, 256, "rw-s", "/dev/shm/ram"}});
    const auto start_for = [&](const char* type, const char* path) {
        line.backends = {{type, "m", 256 * kMiB, path}};
        const auto plan = plan_from_command_line(line, maps);
        EXPECT_TRUE(plan);
        return plan->blocks[0].host_start;
    };
    EXPECT_EQ(start_for("memory-backend-memfd", ""), kBase + kGiB);
    EXPECT_EQ(start_for("memory-backend-file", "/dev/shm/ram"), kBase + 3 * kGiB);
    EXPECT_EQ(start_for("memory-backend-file", "/dev/shm/other"), kBase + 2 * kGiB);
}

TEST(PlanFromMaps, NothingFits) {
    QemuCommandLine line;
    line.memory_size = kGiB;
    line.size_is_known = true;
    const auto none = plan_from_command_line(line,
                                             maps_of({{kBase, 16, "rw-p", ""}, {kBase + 16 * kMiB, 0, "---p", ""}}));
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code, Errc::not_found);
    // Something large with a guard behind it is offered, and the doubt is said.
    const auto guess = plan_from_command_line(line,
                                              maps_of({{kBase, 700, "rw-p", ""}, {kBase + 700 * kMiB, 0, "---p", ""}}));
    ASSERT_TRUE(guess);
    EXPECT_THAT(guess->notes, testing::Contains(HasSubstr("every large one")));
    line.memory_size = ~std::uint64_t{0};
    EXPECT_FALSE(plan_from_command_line(line, {}));
}

TEST(PlanFromMaps, PluggedMemoryIsNamed) {
    QemuCommandLine line;
    line.memory_size = 512 * kMiB;
    line.max_memory = 4 * kGiB;
    line.size_is_known = true;
    const auto plan = plan_from_command_line(line, maps_of({{kBase, 512, "rw-p", ""},
                                                            {kBase + 512 * kMiB, 0, "---p", ""},
                                                            {kBase + kGiB, 256, "rw-p", ""},
                                                            {kBase + kGiB + 256 * kMiB, 0, "---p", ""}}));
    ASSERT_TRUE(plan);
    EXPECT_THAT(plan->notes, ElementsAre(HasSubstr("256 MiB")));
}

// A block with its guard page behind it.
std::vector<HostMapping> blocks_of(const std::vector<std::uint64_t>& sizes_mib) {
    std::vector<std::tuple<std::uint64_t, std::uint64_t, const char*, const char*>> rows;
    std::uint64_t at = kBase;
    for (const std::uint64_t mib : sizes_mib) {
        rows.push_back({at, mib, "rw-p", ""});
        rows.push_back({at + mib * kMiB, 0, "---p", ""});
        at += 2 * kGiB;
    }
    return maps_of(rows);
}

TEST(PlanFromMaps, PluggedMemoryOfADeclaredSizeIsNamed) {
    QemuCommandLine line;
    line.memory_size = 512 * kMiB;
    line.size_is_known = true;
    EXPECT_EQ(plan_from_command_line(line, blocks_of({512, 512}))->uncovered, "") << "no room for more was asked for";
    line.max_memory = 4 * kGiB;
    EXPECT_EQ(plan_from_command_line(line, blocks_of({512}))->uncovered, "");
    // As large as main memory.
    const auto same = plan_from_command_line(line, blocks_of({512, 512}));
    ASSERT_TRUE(same);
    EXPECT_THAT(same->notes, ElementsAre(HasSubstr("one of the mappings of 512 MiB")));
    EXPECT_THAT(same->uncovered, HasSubstr("one of the mappings of 512 MiB"));
    // As large as the backend of main memory.
    line.memory_backend = "m0";
    line.backends = {{"memory-backend-ram", "m0", 512 * kMiB, ""}};
    EXPECT_THAT(plan_from_command_line(line, blocks_of({512, 512, 512}))->notes,
                ElementsAre(HasSubstr("of 512 MiB"), HasSubstr("of 512 MiB")));
    // As large as a node's, of several.
    line.memory_size = 768 * kMiB;
    line.memory_backend.clear();
    line.backends = {{"memory-backend-ram", "a", 512 * kMiB, ""}, {"memory-backend-ram", "b", 256 * kMiB, ""}};
    line.numa_backends = {"a", "b"};
    EXPECT_EQ(plan_from_command_line(line, blocks_of({512, 256}))->uncovered, "");
    EXPECT_THAT(plan_from_command_line(line, blocks_of({512, 256, 256}))->uncovered, HasSubstr("of 256 MiB"));
}

TEST(PlanFromMaps, EqualBlocksThatAKernelCannotTellApartAreSaid) {
    QemuCommandLine line;
    line.size_is_known = true;
    const auto doubt = [&](const std::vector<std::uint64_t>& sizes) {
        line.backends.clear();
        line.numa_backends.clear();
        line.memory_size = 0;
        for (const std::uint64_t mib : sizes) {
            const std::string id = fmt::format("n{}", line.backends.size());
            line.backends.push_back({"memory-backend-ram", id, mib * kMiB, ""});
            line.numa_backends.push_back(id);
            line.memory_size += mib * kMiB;
        }
        return plan_from_command_line(line, blocks_of(sizes))->unproven_order;
    };
    const auto said = HasSubstr("same size");
    EXPECT_EQ(doubt({512}), "");
    EXPECT_EQ(doubt({512, 256}), "");
    EXPECT_EQ(doubt({512, 512}), "") << "where the kernel is, the other is not";
    EXPECT_THAT(doubt({512, 512, 512}), said);
    EXPECT_THAT(doubt({1024, 256, 256}), said);
    EXPECT_EQ(doubt({1024, 512, 256}), "");
    EXPECT_THAT(doubt(std::vector<std::uint64_t>(30, 256)), said) << "more than there are layouts to try";
}

QemuCommandLine equal_nodes(std::size_t count) {
    QemuCommandLine line;
    line.size_is_known = true;
    line.memory_size = count * 256 * kMiB;
    for (std::size_t i = 0; i < count; ++i) {
        line.backends.push_back({"memory-backend-ram", fmt::format("n{}", i), 256 * kMiB, ""});
        line.numa_backends.push_back(line.backends.back().id);
    }
    return line;
}

TEST(PlanFromMaps, EqualBlocksAreGivenAsInterchangeable) {
    const auto plan = plan_from_command_line(equal_nodes(3), blocks_of({256, 256, 256}));
    ASSERT_TRUE(plan);
    ASSERT_EQ(plan->interchangeable.size(), 1u);
    EXPECT_EQ(plan->interchangeable[0].size, 256 * kMiB);
    EXPECT_THAT(plan->interchangeable[0].offsets, ElementsAre(0, 256 * kMiB, 512 * kMiB));
    EXPECT_THAT(plan_from_command_line(equal_nodes(2), blocks_of({256, 256}))->interchangeable, testing::IsEmpty());
    // One more mapping of that size, which may as well be a block.
    EXPECT_EQ(
        plan_from_command_line(equal_nodes(3), blocks_of({256, 256, 256, 256}))->interchangeable[0].offsets.size(), 4u);
}

// The search gives up among the first blocks; the last has no mapping at all.
TEST(PlanFromMaps, ManyEqualBlocksAndOneThatIsNotThere) {
    QemuCommandLine line = equal_nodes(9);
    line.backends.push_back({"memory-backend-ram", "last", 640 * kMiB, ""});
    line.numa_backends.push_back("last");
    line.memory_size += 640 * kMiB;
    const auto plan = plan_from_command_line(line, blocks_of(std::vector<std::uint64_t>(9, 256)));
    ASSERT_TRUE(plan) << plan.error().to_string();
    EXPECT_THAT(plan->notes, testing::Contains(HasSubstr("no mapping has the size")));
}

// With more of them than all orders can be tried for, each block is tried in each place: where the kernel is, it tells the rest.
TEST(PlanFromMaps, EachOfManyEqualBlocksIsTriedInEachPlace) {
    for (const std::size_t count : {5u, 6u, 8u}) {
        const auto plan = plan_from_command_line(equal_nodes(count), blocks_of(std::vector<std::uint64_t>(count, 256)));
        ASSERT_TRUE(plan);
        EXPECT_LE(plan->layouts.size(), 24u);
        ASSERT_EQ(plan->interchangeable.at(0).offsets.size(), count);
        const auto offset_at = [](const MemoryLayout& layout, std::uint64_t gpa) {
            for (const LayoutExtent& e : layout.extents) {
                if (gpa - e.start.value < e.size) return e.offset + (gpa - e.start.value);
            }
            return ~std::uint64_t{0};
        };
        for (std::size_t block = 0; block < count; ++block) {
            std::set<std::uint64_t> places;
            for (const MemoryLayout& layout : plan->layouts)
                places.insert(offset_at(layout, block * 256 * kMiB + 2 * kMiB));
            EXPECT_EQ(places.size(), count) << "block " << block;
        }
    }
}

TEST(PlanFromMaps, MemoryOfDevicesIsNamedOnce) {
    QemuCommandLine line;
    line.memory_size = 512 * kMiB;
    line.size_is_known = true;
    line.max_memory = 4 * kGiB;
    line.backends = {{"memory-backend-ram", "d", 512 * kMiB, ""}, {"memory-backend-ram", "sh", 256 * kMiB, ""}};
    line.device_backends = {"d", "sh"};
    line.ram_devices = {"d"};
    const auto plan = plan_from_command_line(line, blocks_of({512, 512, 256}));
    ASSERT_TRUE(plan);
    EXPECT_THAT(plan->notes, ElementsAre(HasSubstr("'d'"), HasSubstr("'sh'")));
    EXPECT_THAT(plan->uncovered, testing::AllOf(HasSubstr("'d'"), testing::Not(HasSubstr("'sh'"))));
    EXPECT_THAT(plan_from_command_line(line, blocks_of({512, 512, 256, 256}))->uncovered, HasSubstr("of 256 MiB"));
}

TEST(Backing, RemappedMemoryIsNoticed) {
    const auto whole = maps_of({{kBase, 64, "rw-s", "/f"}});
    EXPECT_TRUE(are_still_mapped(whole, whole));
    std::vector<HostMapping> split{whole[0], whole[0]};
    split[0].end = split[1].start = kBase + kMiB;
    split[1].file_offset = kMiB;
    EXPECT_TRUE(are_still_mapped(whole, split)) << "a mapping may be split";
    EXPECT_TRUE(are_still_mapped(split, whole)) << "and joined";
    for (const auto change : {0, 1, 2, 3, 4}) {
        std::vector<HostMapping> other = split;
        if (change == 0) other[1].inode++;
        if (change == 1) other[1].file_offset = 0;
        if (change == 2) other[1].start += 4096;
        if (change == 3) other.pop_back();
        if (change == 4) other[0].shared = false;
        EXPECT_FALSE(are_still_mapped(whole, other)) << change;
    }
    EXPECT_FALSE(are_still_mapped(whole, {}));
}

TEST(Backing, Descriptions) {
    const auto describe = [](const char* flags, const char* path) {
        return describe_mapping(maps_of({{kBase, 1, flags, path}})[0]);
    };
    EXPECT_EQ(describe("rw-p", ""), "anonymous");
    EXPECT_EQ(describe("rw-s", "/memfd:memory-backend-memfd (deleted)"), "memfd, shared");
    EXPECT_EQ(describe("rw-p", "/memfd:x (deleted)"), "memfd, private");
    EXPECT_EQ(describe("rw-s", "/dev/zero (deleted)"), "anonymous, shared");
    EXPECT_EQ(describe("rw-p", "/dev/hugepages/qemu_back_mem.pc.ram.a (deleted)"),
              "file /dev/hugepages/qemu_back_mem.pc.ram.a, private");
}

}  // namespace
}  // namespace vitrine
