// Is it still the guest that was attached to? A running machine may reboot between two questions.
#include <algorithm>
#include <stdexcept>

#include "support/guest_test_support.h"
#include "support/vector_store.h"

namespace vitrine::test {
namespace {

// A machine whose memory can be exchanged for another guest's.
struct Exchangeable {
    explicit Exchangeable(const SyntheticGuest& made)
        : bytes(std::make_shared<vitrine::testing::VectorStore>(made.ram.flat())) {
        auto machine = made.machine_over(bytes, made.vcpus());
        machine->live = true;
        raw = machine.get();
        auto attached = attach(std::move(machine));
        if (!attached) throw std::logic_error(attached.error().to_string());
        guest = std::move(*attached);
    }
    std::shared_ptr<vitrine::testing::VectorStore> bytes;
    SyntheticMachine* raw = nullptr;
    std::unique_ptr<Guest> guest;
};

GuestDescription description() {
    GuestDescription d;
    d.types.seed = 60;
    return d;
}

void expect_stale(Guest& guest) {
    const auto verdict = guest.verify();
    ASSERT_FALSE(verdict);
    EXPECT_EQ(verdict.error().code, Errc::stale);
    for (const std::string_view name : {"processes", "kernel_modules", "process_threads"}) {
        const Answer answer = ask(guest, name);
        ASSERT_FALSE(answer.report) << name;
        EXPECT_EQ(answer.report.error().code, Errc::stale) << name;
        EXPECT_TRUE(answer.rows.rows.empty()) << name;
    }
}

TEST(Verify, AGuestThatRunsOnIsTheSame) {
    SyntheticGuest made(description());
    Exchangeable running(made);
    EXPECT_TRUE(running.guest->verify());
    // Its clock is set right and a process ends: still the same boot.
    GuestDescription later = description();
    later.booted += 300'000'000;
    later.tasks -= 1;
    running.bytes->bytes = SyntheticGuest(later).ram.flat();
    EXPECT_TRUE(running.guest->verify());
    EXPECT_EQ(ask(*running.guest, "processes").rows.rows.size(), later.tasks - 1);
}

TEST(Verify, TheSameKernelAtTheSameAddressBootedAnew) {
    SyntheticGuest made(description());
    Exchangeable running(made);
    GuestDescription again = description();
    again.booted += 60'000'000'000;
    running.bytes->bytes = SyntheticGuest(again).ram.flat();
    expect_stale(*running.guest);
}

TEST(Verify, TheSameBootTimeButAnotherFirstTask) {
    GuestDescription d = description();
    d.boot_clock = false;
    SyntheticGuest made(d);
    Exchangeable running(made);
    d.heap_pa += 0x10'0000;
    running.bytes->bytes = SyntheticGuest(d).ram.flat();
    expect_stale(*running.guest);
}

TEST(Verify, AnotherKernel) {
    SyntheticGuest made(description());
    Exchangeable running(made);
    GuestDescription other = description();
    other.release = "6.2.0";
    running.bytes->bytes = SyntheticGuest(other).ram.flat();
    expect_stale(*running.guest);
}

TEST(Verify, TheSameKernelElsewhere) {
    SyntheticGuest made(description());
    Exchangeable running(made);
    GuestDescription other = description();
    other.slide = 0x200'0000;
    running.bytes->bytes = SyntheticGuest(other).ram.flat();
    expect_stale(*running.guest);
}

TEST(Verify, MemoryIsZeroedByAReset) {
    SyntheticGuest made(description());
    Exchangeable running(made);
    std::fill(running.bytes->bytes.begin(), running.bytes->bytes.end(), std::byte{0});
    expect_stale(*running.guest);
}

TEST(Verify, TheMonitorEnded) {
    SyntheticGuest made(description());
    Exchangeable running(made);
    running.raw->alive = false;
    expect_stale(*running.guest);
}

// The reboot happens after the rows were made and before they were given out.
TEST(Verify, RowsOfARunningGuestAreHeldBackUntilVerified) {
    SyntheticGuest made(description());
    auto filter = std::make_shared<StoreFilter>(made.store());
    auto machine = made.machine_over(filter, made.vcpus());
    machine->live = true;
    auto guest = attach(std::move(machine));
    ASSERT_TRUE(guest);
    const std::size_t before = filter->operations;
    ASSERT_TRUE(ask(**guest, "processes").report);
    const std::size_t of_one_answer = filter->operations - before;
    // From somewhere in the last reads of the answer on, the memory is another's.
    filter->refuse = [end = filter->operations + of_one_answer - 12](std::size_t number, const StoreReadOp&) {
        return number >= end;
    };
    const Answer answer = ask(**guest, "processes");
    ASSERT_FALSE(answer.report);
    EXPECT_EQ(answer.report.error().code, Errc::stale);
    EXPECT_TRUE(answer.rows.rows.empty());
}

TEST(Verify, AnImageIsAlwaysTheSame) {
    SyntheticGuest made(description());
    auto guest = attach(made.machine());
    ASSERT_TRUE(guest);
    EXPECT_TRUE((*guest)->verify());
}

}  // namespace
}  // namespace vitrine::test
