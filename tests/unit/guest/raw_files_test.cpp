// Raw files in block order: the file does not tell where the hole below 4 GiB begins, the guest's own memory does.
#include <fmt/format.h>

#include "support/guest_test_support.h"

namespace vitrine::test {
namespace {

struct Case {
    std::uint64_t hole;
    bool above;  // the kernel lies above 4 GiB
    unsigned levels;
};
std::string name_of(const Case& c) {
    return fmt::format("hole_{:x}_{}_{}_levels", c.hole, c.above ? "above" : "below", c.levels);
}

class RawFiles : public ::testing::TestWithParam<Case> {};

TEST_P(RawFiles, TheHoleIsFoundFromTheGuest) {
    const auto [hole, above, levels] = GetParam();
    GuestDescription d;
    d.levels = levels;
    const std::uint64_t high = 1u << 30;
    d.ram = {{Gpa{0}, hole}, {Gpa{1ull << 32}, high}};
    if (above) {
        d.text_pa = 0x1'0840'0000;
        d.heap_pa = 0x1'08c0'0000;
    }
    const SyntheticGuest made(d);
    const TemporaryFolder folder;
    const std::string path = (folder.path / "guest.raw").string();
    made.ram.save(path);
    auto machine = open_machine({TargetKind::file, path}, {});
    ASSERT_TRUE(machine) << machine.error().to_string();
    const Bounded bounded(name_of(GetParam()), 4.0);
    auto guest = attach(std::move(*machine));
    ASSERT_TRUE(guest) << guest.error().to_string();
    EXPECT_EQ((*guest)->kernel().text_pa.value, d.text_pa);
    const auto& extents = (*guest)->machine().memory().layout().extents;
    ASSERT_EQ(extents.size(), 2u);
    EXPECT_EQ(extents[0].size, hole);
    EXPECT_EQ(extents[1].size, high);
    EXPECT_EQ(ask(**guest, "processes").rows.rows.size(), made.tasks.size() - 1);
}

INSTANTIATE_TEST_SUITE_P(Holes, RawFiles,
                         ::testing::Values(Case{0xc000'0000, false, 4}, Case{0xc000'0000, true, 4},
                                           Case{0x8000'0000, false, 4}, Case{0x8000'0000, true, 4},
                                           Case{0xe000'0000, true, 4}, Case{0xb000'0000, true, 4},
                                           Case{0xd000'0000, true, 5}, Case{0x8000'0000, true, 5}),
                         [](const auto& of) { return name_of(of.param); });

TEST(RawFile, WithoutAHole) {
    GuestDescription d;
    d.ram = {{Gpa{0}, 256u << 20}};
    const SyntheticGuest made(d);
    const TemporaryFolder folder;
    const std::string path = (folder.path / "guest.raw").string();
    made.ram.save(path);
    auto machine = open_machine({TargetKind::file, path}, {});
    ASSERT_TRUE(machine);
    for (const FindRoute route : {FindRoute::page_tables, FindRoute::vmcoreinfo, FindRoute::scan}) {
        auto again = open_machine({TargetKind::file, path}, {});
        ASSERT_TRUE(again);
        const Bounded bounded(std::string(to_string(route)));
        auto guest = attach(std::move(*again), route);
        ASSERT_TRUE(guest) << guest.error().to_string();
        EXPECT_EQ((*guest)->kernel().text_pa.value, d.text_pa);
    }
}

TEST(RawFile, TooShortForWhatTheGuestHas) {
    GuestDescription d;
    d.ram = {{Gpa{0}, 64u << 20}};
    const SyntheticGuest made(d);
    const TemporaryFolder folder;
    const std::string path = (folder.path / "guest.raw").string();
    made.ram.save(path);
    for (const std::uint64_t size :
         {std::uint64_t{2} << 20, std::uint64_t{9} << 20, (std::uint64_t{10} << 20) + 0x1800}) {
        std::filesystem::resize_file(path, size);
        auto machine = open_machine({TargetKind::file, path}, {});
        if (!machine) continue;
        const Bounded bounded(fmt::format("{} bytes", size));
        auto guest = attach(std::move(*machine));
        EXPECT_FALSE(guest) << size;
    }
}

}  // namespace
}  // namespace vitrine::test
