// A kernel that lies whole in memory, and whether it runs: what the vCPUs say, and what a clock says where they cannot be asked.
#include <gmock/gmock.h>

#include <chrono>
#include <stdexcept>
#include <thread>

#include "os/linux/find/liveness.h"
#include "support/guest_test_support.h"
#include "support/vector_store.h"

namespace vitrine::test {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

GuestDescription description(bool isolation = false, unsigned levels = 4) {
    GuestDescription d;
    d.types.seed = 77;
    d.isolation = isolation;
    d.levels = levels;
    return d;
}

// A UEFI firmware: long mode, on tables (at an empty page) that map nothing of a kernel.
VcpuState in_firmware() {
    VcpuState vcpu;
    vcpu.cr0 = 0x8001'0033;
    vcpu.cr3 = 0x1000;
    vcpu.cr4 = 0x668;
    vcpu.efer = 0xd00;
    vcpu.cs = 0x38;
    return vcpu;
}

// As a reset leaves it; so waits a processor that nobody has started.
VcpuState after_reset() {
    VcpuState vcpu;
    vcpu.cr0 = 0x6000'0010;
    vcpu.cs = 0xf000;
    vcpu.rip = 0xfff0;
    return vcpu;
}

std::unique_ptr<SyntheticMachine> live_machine(const SyntheticGuest& made, std::vector<VcpuState> vcpus = {}) {
    auto machine = made.machine(std::move(vcpus));
    machine->live = true;
    return machine;
}

void expect_refused(const Result<std::unique_ptr<Guest>>& guest) {
    ASSERT_FALSE(guest);
    EXPECT_EQ(guest.error().code, Errc::not_found);
    EXPECT_THAT(guest.error().to_string(), HasSubstr("processors"));
    EXPECT_THAT(guest.error().hint(), HasSubstr("try again"));
}

TEST(Liveness, TheKernelOfBeforeARebootIsRefused) {
    for (const unsigned levels : {4u, 5u}) {
        SyntheticGuest made(description(false, levels));
        for (const FindRoute route : {FindRoute::page_tables, FindRoute::vmcoreinfo, FindRoute::scan}) {
            expect_refused(attach(live_machine(made, {in_firmware(), after_reset()}), route));
        }
        const auto begin = std::chrono::steady_clock::now();
        expect_refused(attach(live_machine(made, {in_firmware(), after_reset()})));
        EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(2000));
    }
}

TEST(Liveness, EveryProcessorInRealModeIsRefused) {
    SyntheticGuest made(description());
    expect_refused(attach(live_machine(made, {after_reset(), after_reset()})));
}

TEST(Liveness, OneProcessorOnTheKernelIsEnough) {
    for (const bool isolation : {false, true}) {
        SyntheticGuest made(description(isolation));
        for (const bool user_side : {false, isolation}) {
            for (const auto route : {std::optional<FindRoute>(), std::optional(FindRoute::page_tables)}) {
                std::vector<VcpuState> vcpus = made.vcpus(1, user_side);
                vcpus.insert(vcpus.begin(), {after_reset(), in_firmware()});
                vcpus.push_back(after_reset());
                const auto guest = attach(live_machine(made, vcpus), route);
                ASSERT_TRUE(guest) << guest.error().to_string();
                EXPECT_THAT((*guest)->doubt(), IsEmpty());
                EXPECT_THAT((*guest)->kernel().checks, ::testing::Contains(HasSubstr("a vCPU runs on")));
            }
        }
    }
}

// In system management mode, say, at the first looks.
TEST(Liveness, ProcessorsThatComeBackAreWaitedFor) {
    SyntheticGuest made(description());
    auto machine = live_machine(made);
    machine->set_registers([&](std::size_t number) { return number < 4 ? std::vector{in_firmware()} : made.vcpus(); });
    const auto guest = attach(std::move(machine));
    ASSERT_TRUE(guest) << guest.error().to_string();
    EXPECT_EQ((*guest)->kernel().route, FindRoute::page_tables);
    EXPECT_THAT((*guest)->doubt(), IsEmpty());
}

// What vCPUs of a hypervisor hold while they run its guests says nothing about itself.
TEST(Liveness, GuestsOfTheGuestLeaveADoubt) {
    SyntheticGuest made(description());
    VcpuState on_intel = in_firmware();
    on_intel.cr4 |= 1u << 13;
    VcpuState on_amd = in_firmware();
    on_amd.efer |= 1u << 12;
    for (const VcpuState& nested : {on_intel, on_amd}) {
        const auto guest = attach(live_machine(made, {after_reset(), nested}));
        ASSERT_TRUE(guest) << guest.error().to_string();
        EXPECT_THAT((*guest)->doubt(), HasSubstr("nothing shows that this kernel runs"));
    }
}

TEST(Liveness, AnImageOfARebootingMachineIsReadWithADoubt) {
    SyntheticGuest made(description());
    for (const VcpuState& vcpu : {in_firmware(), after_reset()}) {
        const auto guest = attach(made.machine({vcpu}));
        ASSERT_TRUE(guest) << guest.error().to_string();
        EXPECT_THAT((*guest)->doubt(), HasSubstr("no vCPU runs this kernel"));
        const Answer answer = ask(**guest, "processes");
        EXPECT_EQ(answer.end(), WalkEnd::complete);
        EXPECT_THAT(answer.rows.all_diagnostics(), HasSubstr("no vCPU runs this kernel"));
    }
    VcpuState unknown;  // a source without control registers
    for (const auto& vcpus : {std::vector<VcpuState>{}, std::vector{unknown}, made.vcpus()}) {
        const auto guest = attach(made.machine(vcpus));
        ASSERT_TRUE(guest);
        EXPECT_THAT((*guest)->doubt(), IsEmpty());
    }
}

// Memory that can be changed under a guest without registers.
struct Ticking {
    explicit Ticking(bool with_registers = false) : made(description()) {
        bytes = std::make_shared<vitrine::testing::VectorStore>(made.ram.flat());
        auto machine = made.machine_over(bytes, with_registers ? made.vcpus() : std::vector<VcpuState>{});
        machine->live = true;
        raw = machine.get();
        auto attached = attach(std::move(machine));
        if (!attached) throw std::logic_error(attached.error().to_string());
        guest = std::move(*attached);
    }
    void tick(const std::string& symbol, int by = 1) {
        std::byte& low = bytes->bytes.at(made.physical(made.symbol(symbol)).value);
        low = static_cast<std::byte>(static_cast<int>(low) + by);
    }
    SyntheticGuest made;
    std::shared_ptr<vitrine::testing::VectorStore> bytes;
    SyntheticMachine* raw = nullptr;
    std::unique_ptr<Guest> guest;
};

TEST(Liveness, AClockThatMovesTakesTheDoubtAway) {
    Ticking running;
    running.tick("jiffies_64");
    EXPECT_THAT(running.guest->doubt(), Not(IsEmpty())) << "one without the other: it was overwritten";
    running.tick("jiffies_64");
    running.tick("tk_core", 2);
    EXPECT_THAT(running.guest->doubt(), IsEmpty());
    EXPECT_THAT(running.guest->doubt(), IsEmpty()) << "asked again at once";
    std::this_thread::sleep_for(milliseconds(120));
    EXPECT_THAT(running.guest->doubt(), Not(IsEmpty())) << "it stood still since";
    running.tick("jiffies_64", -1);
    running.tick("tk_core", -1);
    EXPECT_THAT(running.guest->doubt(), Not(IsEmpty())) << "no clock goes back";
    running.tick("jiffies_64");
    running.tick("tk_core", 2);
    EXPECT_THAT(ask(*running.guest, "processes").rows.all_diagnostics(), IsEmpty());
}

TEST(Liveness, AClockThatStandsStillIsToldOf) {
    Ticking standing;
    const Answer answer = ask(*standing.guest, "processes");
    EXPECT_EQ(answer.end(), WalkEnd::complete);
    EXPECT_EQ(answer.rows.rows.size(), standing.made.tasks.size() - 1);
    EXPECT_THAT(answer.rows.all_diagnostics(), HasSubstr("was just reset"));
}

TEST(Liveness, RegistersThatCannotBeReadLeaveTheClock) {
    SyntheticGuest made(description());
    auto machine = live_machine(made);
    machine->set_registers([](std::size_t) -> Result<std::vector<VcpuState>> {
        return Error::make(Errc::busy, Origin::source, "a socket that another holds");
    });
    const auto guest = attach(std::move(machine));
    ASSERT_TRUE(guest) << guest.error().to_string();
    EXPECT_THAT((*guest)->doubt(), Not(IsEmpty()));
    EXPECT_TRUE((*guest)->verify());
}

// Memory is as it was, but the machine was reset while it was attached to.
TEST(Liveness, AResetUnderAnAttachedGuestIsStale) {
    Ticking running(true);
    const std::size_t before = running.raw->looks();
    EXPECT_TRUE(running.guest->verify());
    EXPECT_EQ(running.raw->looks(), before) << "an answer right after attaching asks no registers again";
    std::this_thread::sleep_for(milliseconds(120));
    EXPECT_TRUE(running.guest->verify());
    EXPECT_EQ(running.raw->looks(), before + 1);
    running.raw->set_registers([](std::size_t) { return std::vector{in_firmware()}; });
    std::this_thread::sleep_for(milliseconds(120));
    const Answer answer = ask(*running.guest, "processes");
    ASSERT_FALSE(answer.report);
    EXPECT_EQ(answer.report.error().code, Errc::stale);
    EXPECT_TRUE(answer.rows.rows.empty());
}

TEST(Liveness, AnotherPagingModeIsAnotherKernel) {
    SyntheticGuest made(description(false, 5));
    linux_os::KernelImage image;
    image.paging = PagingMode::x86_64_5level;
    image.text_va = made.text;
    image.text_pa = Gpa{made.d.text_pa};
    const auto machine = made.machine();
    std::vector<VcpuState> vcpus = made.vcpus();
    EXPECT_EQ(linux_os::judge_vcpus(machine->memory(), image, vcpus), linux_os::Running::yes);
    vcpus[0].cr4 &= ~std::uint64_t{1u << 12};
    EXPECT_EQ(linux_os::judge_vcpus(machine->memory(), image, vcpus), linux_os::Running::no);
    image.text_pa = Gpa{made.d.text_pa + (2u << 20)};
    EXPECT_EQ(linux_os::judge_vcpus(machine->memory(), image, made.vcpus()), linux_os::Running::no);
}

}  // namespace
}  // namespace vitrine::test
