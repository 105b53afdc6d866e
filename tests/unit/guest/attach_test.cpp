// Which kernel is chosen, and what is said about it.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "support/guest_test_support.h"
#include "support/vector_store.h"

namespace vitrine::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

SyntheticGuest plain(std::uint32_t seed = 40) {
    GuestDescription d;
    d.types.seed = seed;
    return SyntheticGuest(d);
}

TEST(Attach, TellsHowTheKernelWasFoundAndWhatTheAnswerRestsOn) {
    const SyntheticGuest made = plain();
    auto guest = attach(made.machine(made.vcpus()));
    ASSERT_TRUE(guest) << guest.error().to_string();
    const KernelInfo& info = (*guest)->kernel();
    EXPECT_EQ(info.route, FindRoute::registers);
    EXPECT_GE(info.checks.size(), 6u);
    EXPECT_GE(info.steps.size(), 3u);
    EXPECT_TRUE(info.rejected.empty());
    EXPECT_EQ(info.memory_layout, "made up");
    EXPECT_TRUE((*guest)->verify());
}

TEST(Attach, FallsBackToPageTablesWithoutRegisters) {
    const SyntheticGuest made = plain();
    auto guest = attach(made.machine());
    ASSERT_TRUE(guest) << guest.error().to_string();
    EXPECT_EQ((*guest)->kernel().route, FindRoute::page_tables);
}

TEST(Attach, FindsTheKernelFromTheUserHalfOfAPair) {
    for (const unsigned levels : {4u, 5u}) {
        GuestDescription d;
        d.isolation = true;
        d.levels = levels;
        const SyntheticGuest made(d);
        auto guest = attach(made.machine(made.vcpus(1, true)), FindRoute::registers);
        ASSERT_TRUE(guest) << guest.error().to_string();
        EXPECT_TRUE((*guest)->kernel().page_table_isolation);
    }
}

// Without isolation a root may have bit 12 set: clearing it would lead to another page.
TEST(Attach, TakesARootWithBitTwelveAsItIs) {
    SyntheticGuest made = plain();
    const Gpa odd = made.physical(made.alloc(2 * kPageSize, 2 * kPageSize)).wrap_plus(kPageSize);
    for (std::uint64_t i = 0; i < 512; ++i)
        made.ram.write_value(odd.wrap_plus(i * 8), *made.ram.read_value<std::uint64_t>(made.root().wrap_plus(i * 8)));
    auto vcpus = made.vcpus();
    vcpus[0].cr3 = odd.value | 3;
    auto guest = attach(made.machine(vcpus), FindRoute::registers);
    ASSERT_TRUE(guest) << guest.error().to_string();
    EXPECT_FALSE((*guest)->kernel().page_table_isolation);
}

TEST(Attach, SkipsVcpusThatDoNotRunOnTheKernel) {
    const SyntheticGuest made = plain();
    auto vcpus = made.vcpus();
    VcpuState off;  // not started yet
    VcpuState elsewhere = vcpus[0];
    elsewhere.cr3 = 0x3000;
    vcpus.insert(vcpus.begin(), {off, elsewhere});
    auto guest = attach(made.machine(vcpus), FindRoute::registers);
    ASSERT_TRUE(guest) << guest.error().to_string();
}

TEST(Attach, NothingInMemoryIsNotFound) {
    const Bounded bounded("an empty machine");
    for (const std::uint64_t size : {std::uint64_t{kPageSize}, std::uint64_t{16} << 20}) {
        auto store = std::make_shared<vitrine::testing::VectorStore>(std::vector<std::byte>(size));
        auto guest = attach(
            std::make_unique<SyntheticMachine>(store, std::vector{MemoryLayout::with_hole(size, size, "flat")}));
        ASSERT_FALSE(guest);
        EXPECT_EQ(guest.error().code, Errc::not_found);
        EXPECT_THAT(guest.error().to_string(), HasSubstr("no Linux kernel found"));
        EXPECT_FALSE(guest.error().hint().empty());
    }
}

// What is left of a kernel that ran before: its image, whole and at its own place, with its tables; its heap was used again.
void paste_image(SyntheticGuest& into, const SyntheticGuest& old, std::uint64_t at) {
    std::vector<std::byte> page(kPageSize);
    for (std::uint64_t offset = 0; offset < 3 * SyntheticGuest::kPart; offset += kPageSize) {
        old.ram.read(Gpa{old.d.text_pa + offset}, page);
        into.ram.write(Gpa{at + offset}, page);
    }
}

struct StaleKernel {
    explicit StaleKernel(bool stale_first) {
        GuestDescription running, old;
        running.ram = old.ram = {{Gpa{0}, 48u << 20}};
        running.types.seed = 41;
        old.types.seed = 42;
        old.release = "5.19.0-1-old";
        old.slide = 0x600'0000;
        (stale_first ? running : old).text_pa = 0x1c0'0000;
        (stale_first ? running : old).heap_pa = 0x240'0000;
        made = std::make_unique<SyntheticGuest>(running);
        const SyntheticGuest was(old);
        paste_image(*made, was, old.text_pa);
        stale_text = old.text_pa;
        stale_root = was.root();
    }
    std::unique_ptr<SyntheticGuest> made;
    std::uint64_t stale_text = 0;
    Gpa stale_root;
};

TEST(Attach, AStaleKernelBesideTheRunningOneIsRefused) {
    for (const bool stale_first : {true, false}) {
        const StaleKernel both(stale_first);
        for (const FindRoute route : {FindRoute::page_tables, FindRoute::vmcoreinfo, FindRoute::scan}) {
            SCOPED_TRACE(std::string(to_string(route)) + (stale_first ? ", stale one first" : ", stale one last"));
            auto guest = attach(both.made->machine(), route);
            ASSERT_TRUE(guest) << guest.error().to_string();
            EXPECT_EQ((*guest)->kernel().release, both.made->d.release);
            EXPECT_EQ((*guest)->kernel().root, both.made->root());
            EXPECT_EQ(ask(**guest, "processes").rows.rows.size(), both.made->tasks.size() - 1);
        }
    }
}

TEST(Attach, AStaleKernelAloneIsRefusedAndSaidSo) {
    const StaleKernel both(true);
    GuestDescription nothing;
    nothing.ram = both.made->d.ram;
    GuestRam ram(nothing.ram);  // the stale image, and nothing else
    std::vector<std::byte> page(kPageSize);
    for (std::uint64_t offset = 0; offset < 3 * SyntheticGuest::kPart; offset += kPageSize) {
        both.made->ram.read(Gpa{both.stale_text + offset}, page);
        ram.write(Gpa{both.stale_text + offset}, page);
    }
    for (const FindRoute route : {FindRoute::page_tables, FindRoute::scan}) {
        auto guest = attach(std::make_unique<SyntheticMachine>(
                                std::make_shared<vitrine::testing::VectorStore>(ram.flat()), std::vector{ram.layout()}),
                            route);
        ASSERT_FALSE(guest) << to_string(route);
        EXPECT_THAT(guest.error().to_string(), HasSubstr(fmt::format("{:#x}", both.stale_text)));
        EXPECT_THAT(guest.error().to_string(), HasSubstr("the task list is"));
    }
}

// Page cache holds the kernel's file, a snapshot a copy: symbol tables and banner in the wrong place.
TEST(Attach, ACopyOfTheReadOnlyDataElsewhereIsRefused) {
    GuestDescription d;
    d.ram = {{Gpa{0}, 48u << 20}};
    d.text_pa = 0x1c0'0000;
    d.heap_pa = 0x240'0000;
    for (const char* kallsyms : {"A", "B", "C", "D-after"}) {
        SCOPED_TRACE(kallsyms);
        d.kallsyms = kallsyms;
        SyntheticGuest made(d);
        std::vector<std::byte> page(kPageSize);
        for (std::uint64_t offset = 0; offset < SyntheticGuest::kPart; offset += kPageSize) {
            made.ram.read(Gpa{d.text_pa + SyntheticGuest::kPart + offset}, page);
            for (const std::uint64_t copy : {0x20'0000u, 0x61'3000u}) made.ram.write(Gpa{copy + offset}, page);
        }
        for (const FindRoute route : {FindRoute::page_tables, FindRoute::scan}) {
            auto guest = attach(made.machine(), route);
            ASSERT_TRUE(guest) << guest.error().to_string();
            EXPECT_EQ((*guest)->kernel().text_pa.value, d.text_pa);
        }
    }
}

TEST(Attach, DamagedTypesAreNotTakenForMissingOnes) {
    for (const char* how : {"btf_magic", "btf_cut_short"}) {
        SyntheticGuest made = plain();
        damages().find(how)->second(made);
        auto guest = attach(made.machine(made.vcpus()));
        const std::string said = guest ? (*guest)->kernel().types_from : guest.error().to_string();
        EXPECT_THAT(said, ::testing::Not(HasSubstr("BTF of the kernel:"))) << how;
        EXPECT_THAT(said, ::testing::Not(HasSubstr("has no BTF"))) << how;
        if (!guest) {
            EXPECT_EQ(guest.error().code, Errc::unsupported) << how;
        }
    }
}

TEST(Attach, BrokenTaskListUnderRegistersIsAcceptedAndNamed) {
    SyntheticGuest made = plain();
    damages().find("task_list_torn")->second(made);
    auto guest = attach(made.machine(made.vcpus()));
    ASSERT_TRUE(guest) << guest.error().to_string();
    EXPECT_THAT((*guest)->kernel().checks, ::testing::Contains(HasSubstr("NOT PASSED")));
}

TEST(Attach, EndedMachineIsStale) {
    const SyntheticGuest made = plain();
    auto machine = made.machine();
    machine->alive = false;
    auto guest = attach(std::move(machine));
    // It may have been found before the end was noticed; then verify() tells.
    ASSERT_TRUE(guest || guest.error().code == Errc::stale);
    if (guest) {
        EXPECT_EQ((*guest)->verify().error().code, Errc::stale);
    }
}

TEST(Attach, ReadsThroughCopiesAsThroughAMapping) {
    const SyntheticGuest made = plain();
    for (const AccessMethod method : {AccessMethod::copied, AccessMethod::image}) {
        auto guest = attach(made.machine_over(std::make_shared<StoreFilter>(made.store(), method)));
        ASSERT_TRUE(guest) << guest.error().to_string();
        EXPECT_EQ(ask(**guest, "processes").rows.rows.size(), made.tasks.size() - 1);
    }
    auto guest = attach(made.machine({}, true));
    ASSERT_TRUE(guest);
    EXPECT_EQ(ask(**guest, "processes").rows.rows.size(), made.tasks.size() - 1);
}

}  // namespace
}  // namespace vitrine::test
