#include "vitrine/symbols/symbol_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

namespace vitrine {
namespace {

SymbolTable small_table() {
    SymbolTableBuilder builder;
    builder.add(Gva{0x0}, "per_cpu_thing", 'A');
    builder.add(Gva{0xffffffff81000000}, "_text", 'T');
    builder.add(Gva{0xffffffff81000000}, "_stext", 'T');
    builder.add(Gva{0xffffffff81000100}, "twice", 't');
    builder.add(Gva{0xffffffff81000200}, "twice", 't');
    builder.add(Gva{0xffffffff81000300}, "alias", 't');
    builder.add(Gva{0xffffffff81000300}, "alias", 'W');
    const auto module = builder.add_module("kvm");
    builder.add(Gva{0xffffffffc0002000}, "late", 't', module);
    builder.add(Gva{0xffffffffc0001000}, "early", 't', module);
    builder.add(Gva{0xffffffffc0003000}, "_text", 't', module);
    return builder.build();
}

TEST(SymbolTable, KeepsTheOrderAndEverything) {
    const auto table = small_table();
    ASSERT_EQ(table.size(), 10u);
    EXPECT_EQ(table.at(0).name, "per_cpu_thing");
    EXPECT_EQ(table.at(0).type, 'A');
    EXPECT_EQ(table.at(7).name, "late");
    EXPECT_EQ(table.at(7).module, "kvm");
    EXPECT_EQ(table.at(3).module, "");
}

TEST(SymbolTable, NamesOfTheKernelOnly) {
    const auto table = small_table();
    EXPECT_EQ(table.address_of("_text"), Gva{0xffffffff81000000});
    EXPECT_EQ(table.address_of("late"), std::nullopt);
    EXPECT_EQ(table.address_of("per_cpu_thing"), Gva{0});
    EXPECT_EQ(table.by_name("late").error().code, Errc::not_found);
    EXPECT_EQ(table.by_name("nothing").error().code, Errc::not_found);
    EXPECT_EQ(table.by_name("").error().code, Errc::not_found);
    EXPECT_THAT(table.by_name("nothing").error().to_string(), testing::HasSubstr("nothing"));
}

TEST(SymbolTable, SeveralAddressesAreAmbiguousSeveralSymbolsAtOneAreNot) {
    const auto table = small_table();
    EXPECT_EQ(table.address_of("twice"), std::nullopt);
    EXPECT_EQ(table.by_name("twice").error().code, Errc::ambiguous);
    EXPECT_EQ(table.address_of("alias"), Gva{0xffffffff81000300});
    EXPECT_EQ(table.by_name("alias")->type, 't');
}

TEST(SymbolTable, AllByNameInOrderWithModules) {
    const auto all = small_table().all_by_name("_text");
    ASSERT_EQ(all.size(), 2u);
    EXPECT_EQ(all[0].module, "");
    EXPECT_EQ(small_table().all_by_name("twice").at(1).address, Gva{0xffffffff81000200});
    EXPECT_TRUE(small_table().all_by_name("nothing").empty());
}

TEST(SymbolTable, NearestIsAtOrBelowAndTheFirstOfEqualOnes) {
    const auto table = small_table();
    EXPECT_EQ(table.nearest(Gva{0xffffffff81000000})->symbol.name, "_text");
    EXPECT_EQ(table.nearest(Gva{0xffffffff810000ff})->symbol.name, "_text");
    EXPECT_EQ(table.nearest(Gva{0xffffffff810000ff})->offset, 0xffu);
    EXPECT_EQ(table.nearest(Gva{0xffffffff81000301})->symbol.type, 't');
    EXPECT_EQ(table.nearest(Gva{0xffffffffc0001fff})->symbol.name, "early");
    EXPECT_EQ(table.nearest(Gva{0xffffffffc0002000})->symbol.name, "late");
    EXPECT_EQ(table.nearest(Gva{~std::uint64_t{0}})->symbol.module, "kvm");
}

TEST(SymbolTable, NearestLeavesAbsoluteSymbolsOut) {
    EXPECT_FALSE(small_table().nearest(Gva{0x10}));
    EXPECT_FALSE(small_table().nearest(Gva{0xffffffff80ffffff}));
}

TEST(SymbolTable, Empty) {
    const SymbolTable none;
    EXPECT_EQ(none.size(), 0u);
    EXPECT_FALSE(none.address_of("x"));
    EXPECT_FALSE(none.nearest(Gva{1}));
    EXPECT_TRUE(none.all_by_name("x").empty());
    const SymbolTable built = SymbolTableBuilder().build();
    EXPECT_FALSE(built.address_of("x"));
    EXPECT_FALSE(built.nearest(Gva{1}));
}

TEST(SymbolTable, NamesEndAtANul) {
    SymbolTableBuilder builder;
    builder.add(Gva{1}, std::string_view("ab\0cd", 5), 't');
    const auto table = builder.build();
    EXPECT_EQ(table.at(0).name, "ab");
    EXPECT_EQ(table.address_of("ab"), Gva{1});
}

TEST(SymbolTable, ABuilderCanBeUsedAgain) {
    SymbolTableBuilder builder;
    builder.add(Gva{1}, "one", 't', builder.add_module("m"));
    (void)builder.build();
    builder.add(Gva{2}, "two", 't');
    const auto table = builder.build();
    ASSERT_EQ(table.size(), 1u);
    EXPECT_EQ(table.address_of("two"), Gva{2});
}

// A guest may give all its symbols one name and one address.
TEST(SymbolTable, EqualNamesAndAddressesStayCheap) {
    const auto start = std::chrono::steady_clock::now();
    SymbolTableBuilder builder;
    for (int i = 0; i < 1'000'000; ++i) builder.add(Gva{0xffffffff81000000}, "same", 't');
    const auto table = builder.build();
    EXPECT_EQ(table.address_of("same"), Gva{0xffffffff81000000});
    for (int i = 0; i < 10'000; ++i) ASSERT_EQ(table.nearest(Gva{0xffffffff81000010})->offset, 0x10u);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(SymbolTable, ModulesBeyondTheLimitShareOne) {
    SymbolTableBuilder builder;
    std::uint16_t last = 0;
    for (int i = 0; i < 70'000; ++i) last = builder.add_module("m" + std::to_string(i));
    EXPECT_NE(last, 0);
    builder.add(Gva{1}, "symbol", 't', last);
    const auto table = builder.build();
    EXPECT_EQ(table.at(0).module, "?");
    EXPECT_FALSE(table.address_of("symbol"));
}

}  // namespace
}  // namespace vitrine
