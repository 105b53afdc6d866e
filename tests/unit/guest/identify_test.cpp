// What lives at an address, of a made-up guest whose pages and slabs the test writes itself.
#include "vitrine/guest/identify.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "support/guest_test_support.h"

namespace vitrine {
namespace {

using test::GuestDescription;
using test::SyntheticGuest;
using ::testing::HasSubstr;
using ::testing::StartsWith;

GuestDescription with_pages(std::string kind) {
    GuestDescription description;
    description.types.pages = std::move(kind);
    return description;
}

// A slab of four pages with objects of 600 bytes in slots of 640, 16 bytes of padding in front of each.
class Slabs {
public:
    static constexpr std::uint64_t kPages = 4, kSlot = 640, kObject = 600, kPadding = 16, kObjects = 25;

    explicit Slabs(std::string kind) : typed(kind == "type"), guest(with_pages(std::move(kind))) {
        constexpr std::uint64_t kAllPages = (16u << 20) / kPageSize;
        vmemmap = guest.alloc(kAllPages * 64, kPageSize);
        guest.put(guest.symbol("vmemmap_base"), vmemmap);
        guest.put(guest.symbol("vmalloc_base"), std::uint64_t{0xffff'c900'0000'0000});
        slab = guest.alloc(kPages * kPageSize, kPages * kPageSize);
        cache = guest.alloc(guest.types.size("kmem_cache"));
        name = guest.alloc(64);
        guest.put_string(name, "made_cache");
        guest.set(cache, "kmem_cache.name", name);
        guest.set32(cache, "kmem_cache.size", kSlot);
        guest.set32(cache, "kmem_cache.object_size", kObject);
        guest.set32(cache, "kmem_cache.red_left_pad", kPadding);
        const Gva head = page(slab);
        guest.put(head, std::uint64_t{1} << 6 | (typed ? 0u : 1u << 9));
        guest.put(head.wrap_plus(24), cache);
        guest.put(head.wrap_plus(40), std::uint32_t{kObjects << 16});
        if (typed) guest.put(head.wrap_plus(48), std::uint32_t{0xf500'0000});
        for (std::uint64_t i = 1; i < kPages; ++i)
            guest.put(head.wrap_plus(i * 64 + 8), typed ? (~(kPages * 64) + 1) | 1 : head.value + 1);
    }
    [[nodiscard]] Gva page(Gva direct) const {
        return vmemmap.wrap_plus(guest.physical(direct).value / kPageSize * 64);
    }
    [[nodiscard]] Gva object(std::uint64_t index) const { return slab.wrap_plus(index * kSlot + kPadding); }

    bool typed;
    SyntheticGuest guest;
    Gva vmemmap, slab, cache, name;
};

using Facts = std::vector<AddressFact>;

template <class AddressType>
Facts facts_of(const SyntheticGuest& made, AddressType address) {
    auto guest = test::attach(made.machine());
    if (!guest) return ADD_FAILURE() << guest.error().to_string(), Facts();
    auto facts = identify(*(*guest)->as_linux(), address);
    if (!facts) return ADD_FAILURE() << facts.error().to_string(), Facts();
    return *facts;
}

std::string detail(const Facts& facts, std::string_view what) {
    for (const AddressFact& fact : facts) {
        if (fact.what == what) return (fact.unknown ? "unknown: " : "") + fact.detail;
    }
    return "(no row)";
}

TEST(Identify, SymbolsRegionsAndMappings) {
    const SyntheticGuest made{GuestDescription{}};
    const Facts facts = facts_of(made, made.symbol("init_task").wrap_plus(3));
    EXPECT_EQ(detail(facts, "symbol"), "init_task+0x3");
    EXPECT_THAT(detail(facts, "region"), StartsWith("kernel "));
    EXPECT_THAT(detail(facts, "mapping"),
                StartsWith(fmt::format("guest-physical {:#x}, ", made.physical(made.symbol("init_task")).value + 3)));
    EXPECT_THAT(detail(facts, "task"), StartsWith("pid 0 ("));
    // This kernel's types tell nothing of pages: said, not guessed.
    EXPECT_THAT(detail(facts, "page"), StartsWith("unknown: "));
    EXPECT_EQ(detail(facts_of(made, Gva{0x40'1000}), "region"), "user half: what lies there depends on the process");
    EXPECT_EQ(detail(facts_of(made, Gva{0x8000'0000'0000'0000}), "region"),
              "not canonical: no address of this processor");
    EXPECT_THAT(detail(facts_of(made, Gva{0xffff'fe00'0000'0000}), "mapping"), StartsWith("none: "));
    EXPECT_EQ(detail(facts_of(made, Gpa{std::uint64_t{1} << 40}), "physical"), "not RAM");
}

TEST(Identify, TasksAndModules) {
    const SyntheticGuest made{GuestDescription{}};
    const auto& task = made.tasks.at(3);
    const Facts facts = facts_of(made, task.address.wrap_plus(8));
    EXPECT_EQ(detail(facts, "task"),
              fmt::format("pid {} ({}), task_struct {:#x}+0x8", task.pid, task.comm, task.address.value));
    EXPECT_EQ(detail(facts, "region"), "direct map");
    EXPECT_EQ(detail(facts, "symbol"), "(no row)");
    const Facts physical = facts_of(made, made.physical(task.address));
    EXPECT_EQ(detail(physical, "virtual"), fmt::format("{:#x}", task.address.value));
    EXPECT_THAT(detail(physical, "task"), StartsWith(fmt::format("pid {} ", task.pid)));
    const auto& module = made.modules.at(1);
    const Facts inside = facts_of(made, module.base.wrap_plus(4));
    EXPECT_THAT(detail(inside, "module"), StartsWith(module.name + ", MOD_TEXT "));
    EXPECT_EQ(detail(inside, "region"), "module area");
}

class IdentifySlab : public ::testing::TestWithParam<const char*> {};

TEST_P(IdentifySlab, ObjectsAreFoundFromAnyPageOfTheirSlab) {
    const Slabs slabs(GetParam());
    for (const std::uint64_t index : {0u, 6u, 7u, 24u}) {
        const Facts facts = facts_of(slabs.guest, slabs.object(index).wrap_plus(599));
        EXPECT_EQ(detail(facts, "slab cache"), fmt::format("made_cache, kmem_cache {:#x}", slabs.cache.value)) << index;
        EXPECT_EQ(detail(facts, "slab object"),
                  fmt::format("{:#x}+0x257, 600 bytes, object {} of 25", slabs.object(index).value, index));
        EXPECT_THAT(detail(facts, "page flags"), ::testing::EndsWith(slabs.typed ? "PG_head" : "PG_head PG_slab"));
        EXPECT_EQ(detail(facts, "page type"), slabs.typed ? "PGTY_slab" : "(no row)");
    }
    const Facts before = facts_of(slabs.guest, slabs.object(3).wrap_minus(4));
    EXPECT_EQ(detail(before, "slab object"),
              fmt::format("{:#x}, 4 bytes in front of it, object 3 of 25", slabs.object(3).value));
    const Facts behind = facts_of(slabs.guest, slabs.slab.wrap_plus(25 * 640));
    EXPECT_EQ(detail(behind, "slab object"), "none: behind the 25 objects of the slab");
    const Facts other = facts_of(slabs.guest, slabs.slab.wrap_plus(4 * kPageSize));
    EXPECT_EQ(detail(other, "slab cache"), "(no row)");
}

TEST_P(IdentifySlab, WhatCannotBeFollowedIsSaid) {
    const auto asked = [](Slabs& slabs) { return facts_of(slabs.guest, slabs.object(8)); };
    Slabs nowhere(GetParam());
    nowhere.guest.put(nowhere.page(nowhere.slab).wrap_plus(24), std::uint64_t{0xffff'1234'5678'0000});
    EXPECT_THAT(detail(asked(nowhere), "slab cache"), StartsWith("unknown: "));
    Slabs null(GetParam());
    null.guest.put(null.page(null.slab).wrap_plus(24), std::uint64_t{0});
    EXPECT_THAT(detail(asked(null), "slab cache"), HasSubstr("NULL"));
    Slabs sizeless(GetParam());
    sizeless.guest.set32(sizeless.cache, "kmem_cache.size", 0);
    EXPECT_THAT(detail(asked(sizeless), "slab object"), StartsWith("unknown: objects of 600 bytes in slots of 0"));
    EXPECT_THAT(detail(asked(sizeless), "slab cache"), StartsWith("made_cache, "));
    Slabs nameless(GetParam());
    nameless.guest.set(nameless.cache, "kmem_cache.name", std::uint64_t{0xffff'1234'5678'0000});
    EXPECT_THAT(detail(asked(nameless), "slab cache"), StartsWith("unknown: "));
    EXPECT_THAT(detail(asked(nameless), "slab object"), HasSubstr("object 8 of 25"));
    Slabs headless(GetParam());
    headless.guest.put(headless.page(headless.slab).wrap_plus(64 + 8), std::uint64_t{0x7777'7777'7777'7777});
    EXPECT_THAT(detail(asked(headless), "page"), StartsWith("unknown: the head of a compound page"));
    Slabs pageless(GetParam());
    pageless.guest.put(pageless.guest.symbol("vmemmap_base"), std::uint64_t{0xffff'1234'5678'0000});
    EXPECT_THAT(detail(asked(pageless), "page"), StartsWith("unknown: "));
}

// Every word of what describes the slab, replaced: an answer, in time.
TEST_P(IdentifySlab, HostilePagesAreBounded) {
    const test::Bounded bounded("hostile pages", 20.0);
    for (const std::uint64_t value : {std::uint64_t{1}, ~std::uint64_t{0}}) {
        for (std::uint64_t word = 0; word < 64 + 64 + 8; word += 8) {
            Slabs slabs(GetParam());
            const Gva head = slabs.page(slabs.slab);
            slabs.guest.put(word < 128 ? head.wrap_plus(word) : slabs.cache, value);
            for (std::uint64_t at = 8; word == 128 && at + 8 <= slabs.guest.types.size("kmem_cache"); at += 8)
                slabs.guest.put(slabs.cache.wrap_plus(at), value);
            const Facts facts = facts_of(slabs.guest, slabs.object(8));
            EXPECT_NE(detail(facts, "page"), "(no row)") << word;
            EXPECT_LT(facts.size(), 16u);
            for (const AddressFact& fact : facts) EXPECT_LT(fact.detail.size(), 4096u) << fact.what;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Kinds, IdentifySlab, ::testing::Values("flag", "type"),
                         [](const auto& i) { return std::string(i.param); });

TEST(GuestObjects, VariablesAndObjectsByName) {
    const SyntheticGuest made{GuestDescription{}};
    const auto guest = test::attach(made.machine());
    ASSERT_TRUE(guest.has_value());
    const auto first = (*guest)->variable("init_task", "struct task_struct");
    ASSERT_TRUE(first.has_value()) << first.error().to_string();
    EXPECT_EQ(first->address(), made.symbol("init_task"));
    EXPECT_EQ(first->member("pid")->as_signed().value(), 0);
    const auto task = (*guest)->object("task_struct", made.tasks.at(2).address);
    EXPECT_EQ(task->member("comm")->as_string(16)->bytes, made.tasks.at(2).comm);
    EXPECT_EQ((*guest)->variable("nothing", "int").error().code, Errc::not_found);
    EXPECT_EQ((*guest)->object("nothing", Gva{}).error().code, Errc::not_found);
}

}  // namespace
}  // namespace vitrine
