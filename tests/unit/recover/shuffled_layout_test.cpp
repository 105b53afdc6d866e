// Kernels whose structures' members lie in an order that no source has (CONFIG_RANDSTRUCT): what is not beyond doubt must be absent.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/linux/find/prove.h"
#include "os/linux/recover/recover_layout.h"
#include "support/synthetic_guest.h"
#include "vitrine/guest/linux_guest.h"

namespace vitrine::test {
namespace {

using linux_os::FieldId;
using linux_os::recover_layout;
using linux_os::RecoveredLayout;

struct Shuffled {
    explicit Shuffled(std::uint32_t seed, bool swapped_pairs) : made(describe(seed, swapped_pairs)) {
        AttachOptions options;
        options.use_cache = false;
        auto attached = Guest::attach(made.machine(made.vcpus()), options);
        EXPECT_TRUE(attached) << attached.error().to_string();
        if (attached) guest = std::move(*attached);
    }
    static GuestDescription describe(std::uint32_t seed, bool swapped_pairs) {
        GuestDescription d;
        d.types.seed = seed;
        d.types.swapped_pairs = swapped_pairs;
        d.tasks = 12;
        return d;
    }
    [[nodiscard]] RecoveredLayout recover() const {
        const LinuxGuest& its = *guest->as_linux();
        return recover_layout(its.space(), its.proven().symbols);
    }
    void expect_true(const linux_os::Layout& recovered) const {
        for (const linux_os::FieldNeed& wanted : linux_os::field_needs()) {
            const auto at = recovered.offset(wanted.id);
            if (!at) continue;
            const auto truth = guest->as_linux()->layout().offset(wanted.id);
            ASSERT_TRUE(truth.has_value()) << wanted.name;
            EXPECT_EQ(*at, *truth) << wanted.name;
        }
    }
    SyntheticGuest made;
    std::unique_ptr<Guest> guest;
};

TEST(ShuffledLayout, GivesNothingThatIsWrong) {
    for (std::uint32_t seed = 200; seed < 240; ++seed) {
        SCOPED_TRACE(seed);
        const Shuffled kernel(seed, false);
        ASSERT_NE(kernel.guest, nullptr);
        const RecoveredLayout recovered = kernel.recover();
        kernel.expect_true(recovered.layout);
        EXPECT_TRUE(recovered.layout.has(FieldId::task_tasks));
        EXPECT_TRUE(recovered.layout.has(FieldId::task_group_leader));
        EXPECT_EQ(recovered.evidence.size(), recovered.layout.present_count());
    }
}

// The worst luck: pairs lie together, the wrong way round. Values cannot tell; the order of the others does.
TEST(ShuffledLayout, PairsTheOtherWayRoundAreNotGuessed) {
    for (std::uint32_t seed = 300; seed < 340; ++seed) {
        SCOPED_TRACE(seed);
        const Shuffled kernel(seed, true);
        ASSERT_NE(kernel.guest, nullptr);
        ASSERT_EQ(kernel.made.types.offset("task_struct.pid"), kernel.made.types.offset("task_struct.tgid") + 4);
        ASSERT_EQ(kernel.made.types.offset("task_struct.real_cred"), kernel.made.types.offset("task_struct.cred") + 8);
        const RecoveredLayout recovered = kernel.recover();
        kernel.expect_true(recovered.layout);
        EXPECT_FALSE(recovered.usual_order);
        EXPECT_FALSE(recovered.layout.has(FieldId::task_pid));
        EXPECT_FALSE(recovered.layout.has(FieldId::task_cred));
        EXPECT_EQ(recovered.evidence.size(), recovered.layout.present_count());
    }
}

// Such a kernel without types is refused, with what would help.
TEST(ShuffledLayout, AttachWithoutTypesSaysWhatIsMissing) {
    const Shuffled kernel(301, true);
    AttachOptions options;
    options.use_cache = false;
    options.ignore_btf = true;
    const auto blind = Guest::attach(kernel.made.machine(kernel.made.vcpus()), options);
    ASSERT_FALSE(blind);
    EXPECT_EQ(blind.error().code, Errc::unsupported);
    EXPECT_THAT(blind.error().to_string(), ::testing::HasSubstr("task_struct.pid"));
    EXPECT_THAT(blind.error().hint(), ::testing::HasSubstr("--symbols"));
}

}  // namespace
}  // namespace vitrine::test
