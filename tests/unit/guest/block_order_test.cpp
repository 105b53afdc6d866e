// Which block of memory is which, where only the guest can tell.
#include "os/linux/find/candidate_layouts.h"

#include <gmock/gmock.h>

#include "support/guest_test_support.h"
#include "support/vector_store.h"

namespace vitrine::test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::uint64_t kBlock = 16u << 20;
constexpr const char* kDoubt = "which block is which is not known";
using Order = std::vector<std::size_t>;

// Blocks one after the other; the image is in the first, everything else that the kernel allocated in the second.
GuestDescription blocks(unsigned count, unsigned nodes) {
    GuestDescription d;
    d.ram.clear();
    for (unsigned i = 0; i < count; ++i) d.ram.push_back({Gpa{i * kBlock}, kBlock});
    d.nodes = nodes;
    d.heap_pa = kBlock + (2u << 20);
    return d;
}

MemoryLayout in_order(const Order& order) {
    MemoryLayout layout;
    layout.name = "guessed";
    for (std::size_t i = 0; i < order.size(); ++i)
        layout.extents.push_back({Gpa{i * kBlock}, kBlock, order[i] * kBlock});
    return layout;
}

// parts: that the source cannot tell apart, the first of the store.
std::unique_ptr<SyntheticMachine> machine(const SyntheticGuest& made, const std::vector<Order>& guesses,
                                          std::size_t parts, bool registers = true) {
    std::vector<MemoryLayout> layouts;
    for (const Order& guess : guesses) layouts.push_back(in_order(guess));
    auto result = std::make_unique<SyntheticMachine>(made.store(), layouts,
                                                     registers ? made.vcpus() : std::vector<VcpuState>{});
    InterchangeableParts open{kBlock, {}};
    for (std::size_t i = 0; i < parts; ++i) open.offsets.push_back(i * kBlock);
    result->set_interchangeable({open}, kDoubt);
    return result;
}

void expect_order(Guest& guest, const Order& order, bool proven) {
    EXPECT_EQ(guest.machine().memory().layout().extents, in_order(order).extents);
    EXPECT_EQ(guest.machine().info().unproven_order, proven ? "" : kDoubt);
    const Answer answer = ask(guest, "processes");
    EXPECT_TRUE(answer.report);
    EXPECT_EQ(answer.rows.all_diagnostics().find(kDoubt) == std::string::npos, proven);
}

TEST(BlockOrder, IsProvenWhereItWasGuessedRight) {
    for (const unsigned levels : {4u, 5u}) {
        GuestDescription d = blocks(4, 4);
        d.levels = levels;
        const SyntheticGuest made(d);
        auto guest = attach(machine(made, {{0, 1, 2, 3}, {0, 2, 1, 3}}, 4));
        ASSERT_TRUE(guest) << guest.error().to_string();
        expect_order(**guest, {0, 1, 2, 3}, true);
        EXPECT_THAT((*guest)->kernel().checks, Contains(HasSubstr("4 of 4 blocks")));
        EXPECT_THAT((*guest)->kernel().rejected, IsEmpty());
    }
}

TEST(BlockOrder, IsMendedWhereItWasGuessedWrong) {
    const SyntheticGuest made(blocks(4, 4));
    for (const bool registers : {true, false}) {
        // What the kernel allocated is in its place, or not: then it would be refused for that.
        for (const Order& guess : {Order{0, 1, 3, 2}, Order{0, 3, 1, 2}}) {
            auto guest = attach(machine(made, {guess}, 4, registers));
            ASSERT_TRUE(guest) << guest.error().to_string();
            expect_order(**guest, {0, 1, 2, 3}, true);
            EXPECT_THAT((*guest)->kernel().rejected, Contains(HasSubstr("lie in other blocks")));
            EXPECT_THAT((*guest)->kernel().memory_layout, HasSubstr("nodes"));
        }
    }
}

TEST(BlockOrder, NeedsAGuessThatHasTheKernelItselfInItsPlace) {
    const SyntheticGuest made(blocks(4, 4));
    EXPECT_FALSE(attach(machine(made, {{1, 0, 2, 3}}, 4)));
    auto guest = attach(machine(made, {{1, 0, 2, 3}, {0, 2, 3, 1}}, 4));
    ASSERT_TRUE(guest) << guest.error().to_string();
    expect_order(**guest, {0, 1, 2, 3}, true);
}

TEST(BlockOrder, TheLastOneIsWhereNoOtherIs) {
    const SyntheticGuest made(blocks(4, 3));
    auto guest = attach(machine(made, {{0, 3, 2, 1}}, 4));
    ASSERT_TRUE(guest) << guest.error().to_string();
    expect_order(**guest, {0, 1, 2, 3}, true);
}

TEST(BlockOrder, WhatIsLeftOutByTheLayoutMayBeTheRightOne) {
    // Three blocks of memory and something else of their size: what is left over is not known.
    GuestDescription three = blocks(3, 3);
    const SyntheticGuest smaller(three);
    std::vector<std::byte> bytes = smaller.ram.flat();
    std::rotate(bytes.begin() + kBlock, bytes.begin() + 2 * kBlock, bytes.end());  // blocks 0, 2, 1
    bytes.insert(bytes.begin() + kBlock, kBlock, std::byte{0});                    // and a stranger: 0, x, 2, 1
    InterchangeableParts open{kBlock, {0, kBlock, 2 * kBlock, 3 * kBlock}};
    auto strange = std::make_unique<SyntheticMachine>(std::make_shared<vitrine::testing::VectorStore>(bytes),
                                                      std::vector{in_order({0, 1, 2})}, smaller.vcpus());
    strange->set_interchangeable({open}, kDoubt);
    auto guest = attach(std::move(strange));
    ASSERT_TRUE(guest) << guest.error().to_string();
    expect_order(**guest, {0, 3, 2}, true);
}

TEST(BlockOrder, StaysInDoubtWhereTheGuestDoesNotTell) {
    for (const unsigned nodes : {0u, 1u, 2u}) {
        SCOPED_TRACE(nodes);
        const SyntheticGuest made(blocks(4, nodes));
        auto guest = attach(machine(made, {{0, 1, 3, 2}}, 4));
        ASSERT_TRUE(guest) << guest.error().to_string();
        expect_order(**guest, {0, 1, 3, 2}, false);
        EXPECT_THAT((*guest)->kernel().checks, Contains(HasSubstr("NOTE: only")));
        EXPECT_TRUE((*guest)->kernel().rejected.empty());
    }
}

TEST(BlockOrder, OneOfTwoGroupsThatIsNotProvenIsEnoughForADoubt) {
    const SyntheticGuest made(blocks(6, 2));
    std::unique_ptr<SyntheticMachine> two = machine(made, {{0, 1, 2, 3, 4, 5}}, 0);
    const InterchangeableParts first{kBlock, {0, kBlock}}, second{kBlock, {2 * kBlock, 3 * kBlock, 4 * kBlock}};
    two->set_interchangeable({first, second}, kDoubt);
    auto guest = attach(std::move(two));
    ASSERT_TRUE(guest) << guest.error().to_string();
    expect_order(**guest, {0, 1, 2, 3, 4, 5}, false);
}

// Two blocks that have what only one can have; and the right block without it.
TEST(BlockOrder, AForgeryIsNoProof) {
    {
        SyntheticGuest made(blocks(4, 4));
        for (const unsigned block : {0u, 1u}) made.put(made.node_data(block).wrap_plus(40), made.node_data(2));
        made.put(made.node_data(3).wrap_plus(96), Gva{});
        auto guest = attach(machine(made, {{0, 1, 2, 3}}, 4));
        ASSERT_TRUE(guest) << guest.error().to_string();
        expect_order(**guest, {0, 1, 2, 3}, false);
    }
    {
        // Node 2 and node 3 both claim the block of node 3.
        SyntheticGuest made(blocks(4, 4));
        made.put(made.node_data(2).wrap_plus(96), Gva{});
        made.put(made.node_data(3).wrap_plus(104), made.node_data(2));
        auto guest = attach(machine(made, {{0, 1, 2, 3}}, 4));
        ASSERT_TRUE(guest) << guest.error().to_string();
        expect_order(**guest, {0, 1, 2, 3}, false);
    }
}

TEST(BlockOrder, GarbageForNodesIsBounded) {
    const Bounded bounded("garbage for nodes");
    std::uint64_t state = 7;
    const auto random = [&] { return state = state * 6364136223846793005u + 1442695040888963407u; };
    for (unsigned round = 0; round < 20; ++round) {
        SyntheticGuest made(blocks(5, 5));
        for (unsigned node = 0; node < SyntheticGuest::kMaxNodes; ++node) {
            const std::uint64_t inside = (random() >> 16) % (6 * kBlock);
            const std::uint64_t forged = round % 2 == 0 ? random() : made.direct(Gpa{inside / 64 * 64}).value;
            made.put(made.symbol("node_data").wrap_plus(node * 8), forged);
        }
        if (round % 3 == 0) made.put(made.symbol("page_offset_base"), random());
        auto guest = attach(machine(made, {{0, 1, 2, 3, 4}}, 5));
        ASSERT_TRUE(guest) << guest.error().to_string();
        expect_order(**guest, {0, 1, 2, 3, 4}, false);
    }
}

// At the very end of a block: nothing beyond it is read.
TEST(BlockOrder, PointersToTheEdgesOfBlocks) {
    for (const std::uint64_t at : {kBlock - 64, 2 * kBlock - 64, 4 * kBlock - 64, 4 * kBlock}) {
        SyntheticGuest made(blocks(4, 4));
        made.put(made.symbol("node_data").wrap_plus(2 * 8), made.direct(Gpa{at}));
        if (at < 4 * kBlock) made.put(made.direct(Gpa{at + 56}), made.direct(Gpa{at}));
        auto guest = attach(machine(made, {{0, 1, 3, 2}}, 4));
        ASSERT_TRUE(guest) << guest.error().to_string();
        expect_order(**guest, {0, 1, 2, 3}, true);  // node 2 is where no other is
    }
}

TEST(BlockOrder, AStoreThatRefusesLeavesTheDoubt) {
    const SyntheticGuest made(blocks(4, 4));
    const std::uint64_t from = 2 * kBlock;
    auto store = std::make_shared<StoreFilter>(made.store());
    store->refuse = [&](std::size_t, const StoreReadOp& op) { return op.offset >= from; };
    auto refused = std::make_unique<SyntheticMachine>(store, std::vector{in_order({0, 1, 2, 3})}, made.vcpus());
    refused->set_interchangeable({{kBlock, {0, kBlock, 2 * kBlock, 3 * kBlock}}}, kDoubt);
    auto guest = attach(std::move(refused));
    ASSERT_TRUE(guest) << guest.error().to_string();
    expect_order(**guest, {0, 1, 2, 3}, false);
}

TEST(BlockOrder, HoldsForAProfileOutOfTheCache) {
    const TemporaryFolder folder;
    const SyntheticGuest made(blocks(4, 4));
    AttachOptions options;
    options.cache_directory = folder.path;
    for (const bool from_cache : {false, true}) {
        // The first layout lets the kernel's image be found whole, all else that is checked as well.
        auto guest = Guest::attach(machine(made, {{0, 1, 3, 2}}, 4), options);
        ASSERT_TRUE(guest) << guest.error().to_string();
        EXPECT_EQ((*guest)->kernel().from_cache, from_cache);
        expect_order(**guest, {0, 1, 2, 3}, true);
    }
}

TEST(CandidateLayouts, AProposedOneIsTriedNextAndOnce) {
    const std::vector<MemoryLayout> known{in_order({0, 1, 2}), in_order({0, 2, 1}), in_order({1, 0, 2})};
    linux_os::CandidateLayouts layouts(known);
    EXPECT_FALSE(layouts.propose(in_order({0, 1, 2}))) << "that is the current one";
    EXPECT_TRUE(layouts.propose(in_order({1, 0, 2})));
    layouts.advance();
    EXPECT_EQ(layouts.current().extents, known[2].extents);
    EXPECT_FALSE(layouts.propose(in_order({0, 1, 2}))) << "it was tried";
    EXPECT_TRUE(layouts.propose(in_order({2, 1, 0})));
    std::vector<std::vector<LayoutExtent>> tried;
    for (layouts.restart(); layouts.has_current(); layouts.advance()) tried.push_back(layouts.current().extents);
    EXPECT_EQ(tried, (std::vector{known[0].extents, known[2].extents, in_order({2, 1, 0}).extents, known[1].extents}));
}

TEST(CandidateLayouts, ProposalsEnd) {
    linux_os::CandidateLayouts layouts(std::vector{in_order({0, 1, 2})});
    std::size_t taken = 0;
    for (std::size_t i = 0; i < 1000; ++i) {
        if (layouts.propose(in_order({i + 1, 0, 2}))) ++taken;
    }
    EXPECT_GT(taken, 0u);
    EXPECT_LE(taken, 8u);
}

}  // namespace
}  // namespace vitrine::test
