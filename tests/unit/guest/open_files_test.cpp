// Tables of descriptors as a hostile guest may have them, and as a running one changes them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "file_walks.h"
#include "os/linux/open_files.h"
#include "vitrine/memory/page_cache.h"

namespace vitrine::test {
namespace {

using namespace file_walks;
using linux_os::OpenFileList;
using linux_os::OpenFiles;

TEST(OpenFiles, AreThoseOfTheTableWithTheBitsOfEach) {
    Kernel kernel;
    const Gva slots = kernel.alloc(64 * 8);
    const Gva open = kernel.alloc(8);
    const Gva close = kernel.alloc(8);
    kernel.put(slots, 0xffff'8880'0011'0000);
    kernel.put(slots.wrap_plus(63 * 8), 0xffff'8880'0022'0000);
    kernel.put(open, 1);  // not 63: somebody hides it
    kernel.put(close, std::uint64_t{1} << 63);
    const Members members = kernel.members(linux_os::kOpenFileNeeds);
    const OpenFiles walk(*kernel.space, members);
    const OpenFileList list = walk.of(kernel.files(64, slots, open, close), {});
    EXPECT_EQ(list.report.end, WalkEnd::complete);
    ASSERT_EQ(list.files.size(), 2u);
    EXPECT_EQ(list.files[0].fd, 0u);
    EXPECT_EQ(list.files[0].file, Gva{0xffff'8880'0011'0000});
    EXPECT_EQ(list.files[0].allocated, true);
    EXPECT_EQ(list.files[0].close_on_exec, false);
    EXPECT_EQ(list.files[1].fd, 63u);
    EXPECT_EQ(list.files[1].allocated, false);
    EXPECT_EQ(list.files[1].close_on_exec, true);
}

TEST(OpenFiles, ATableThatClaimsFourBillionSlotsIsBounded) {
    Kernel kernel;
    const Gva slots = kernel.alloc(64 * 8);
    kernel.put(slots.wrap_plus(8), 0xffff'8880'0011'0000);
    const Members members = kernel.members(linux_os::kOpenFileNeeds);
    const OpenFiles walk(*kernel.space, members);
    const OpenFileList list = walk.of(kernel.files(0xffff'ffff, slots, Gva{}, Gva{}), {});
    EXPECT_NE(list.report.end, WalkEnd::complete);
    EXPECT_EQ(list.claimed, 0xffff'ffffu);
    ASSERT_FALSE(list.files.empty());
    EXPECT_EQ(list.files[0].fd, 1u);
    // Without bitmaps nothing is known of the bits.
    EXPECT_EQ(list.files[0].allocated, std::nullopt);
    EXPECT_EQ(list.files[0].close_on_exec, std::nullopt);
    EXPECT_LT(kernel.memory.operations, 100'000u);
}

TEST(OpenFiles, AHoleInTheTableCostsTheFilesInItOnly) {
    Kernel kernel;
    // The table goes on past the end of what is mapped, and begins there for the other one.
    const Gva slots = kBase.wrap_plus((8u << 20) - kPageSize);
    kernel.put(slots, 0xffff'8880'0011'0000);
    const Members members = kernel.members(linux_os::kOpenFileNeeds);
    const OpenFiles walk(*kernel.space, members);
    const OpenFileList list = walk.of(kernel.files(1024, slots, Gva{}, Gva{}), {});
    EXPECT_EQ(list.report.end, WalkEnd::fault);
    EXPECT_EQ(list.report.last_address, slots.wrap_plus(kPageSize).value);
    EXPECT_EQ(list.files.size(), 1u);
    const OpenFileList none = walk.of(kBase.wrap_plus(9u << 20), {});
    EXPECT_EQ(none.report.end, WalkEnd::fault);
    EXPECT_TRUE(none.files.empty());
}

TEST(OpenFiles, NoMoreAreKeptThanTheBudgetHas) {
    Kernel kernel;
    const Gva slots = kernel.alloc(4096 * 8);
    for (std::uint64_t i = 0; i < 4096; ++i) kernel.put(slots.wrap_plus(i * 8), 0xffff'8880'0011'0000);
    const Members members = kernel.members(linux_os::kOpenFileNeeds);
    const OpenFiles walk(*kernel.space, members);
    WalkBudget budget;
    budget.nodes = 100;
    const OpenFileList list = walk.of(kernel.files(4096, slots, Gva{}, Gva{}), budget);
    EXPECT_EQ(list.report.end, WalkEnd::budget);
    EXPECT_EQ(list.files.size(), 100u);
}

// A guest that puts another table in the place of the one that is just being read.
class TableGrows final : public PhysicalMemory {
public:
    TableGrows(PhysicalMemory& inner, std::function<bool(const ReadOp&)> begins, std::function<void()> grow)
        : inner_(inner), begins_(std::move(begins)), grow_(std::move(grow)) {}
    [[nodiscard]] std::span<const MemoryRange> ranges() const override { return inner_.ranges(); }
    [[nodiscard]] AccessMethod method() const override { return inner_.method(); }
    Result<void> read(std::span<ReadOp> ops) override {
        VITRINE_CHECK(inner_.read(ops));
        if (grow_ && std::any_of(ops.begin(), ops.end(), begins_)) std::exchange(grow_, nullptr)();
        return {};
    }

private:
    PhysicalMemory& inner_;
    std::function<bool(const ReadOp&)> begins_;
    std::function<void()> grow_;
};

TEST(OpenFiles, ATableThatIsReplacedWhileItIsReadIsReadAgainThoughItsPagesAreKept) {
    Kernel kernel;
    const Gva old_slots = kernel.alloc_page();
    const Gva new_slots = kernel.alloc_page();
    kernel.put(old_slots, 0xffff'8880'0011'0000);
    kernel.put(new_slots, 0xffff'8880'0011'0000);
    kernel.put(new_slots.wrap_plus(64 * 8), 0xffff'8880'0022'0000);
    const Gva files = kernel.files(64, old_slots, Gva{}, Gva{});
    const Gva grown = kernel.files(128, new_slots, Gva{}, Gva{});
    const std::uint64_t table = *kernel.memory.read_value<std::uint64_t>(kernel.physical(grown.wrap_plus(8)));
    TableGrows memory(
        kernel.memory,
        [at = kernel.physical(old_slots)](const ReadOp& op) { return at.value - op.address.value < op.out.size(); },
        [&] { kernel.put(files.wrap_plus(8), table); });
    PageCache cache(memory);
    const AddressSpace kept(cache, kernel.space->mode(), kernel.space->root());
    const AddressSpace fresh(memory, kernel.space->mode(), kernel.space->root());
    const Members members = kernel.members(linux_os::kOpenFileNeeds);
    const OpenFiles walk(kept, members, fresh, [&] { cache.new_generation(); });
    const OpenFileList list = walk.of(files, {});
    EXPECT_EQ(list.report.end, WalkEnd::complete);
    EXPECT_EQ(list.report.retries, 1u);
    ASSERT_EQ(list.files.size(), 2u);
    EXPECT_EQ(list.files[1].fd, 64u);
}

}  // namespace
}  // namespace vitrine::test
