#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "support/kallsyms_encoder.h"
#include "vitrine/symbols/kallsyms.h"

namespace vitrine {
namespace {

using test::encode_kallsyms;
using test::EncodedSymbol;
using test::EncodeOptions;
using test::kernel_like_symbols;

struct Kernel {
    const char* name;
    EncodeOptions options;
    std::size_t symbols = 1500;
    std::size_t percpu = 0;
    std::size_t longest_name = 100;
};

void PrintTo(const Kernel& kernel, std::ostream* out) { *out << kernel.name; }

using enum KallsymsAddressing;

// Every layout there has been (kernel versions by scripts/kallsyms.c), and mixtures that backports produce.
const Kernel kKernels[] = {
    {"before_4_6", {.addressing = absolute, .addresses_after = false, .marker_size = 8, .uleb = false}, 1500, 40, 200},
    {"v4_6", {.addressing = base_relative_before, .absolute_percpu = true, .marker_size = 8, .uleb = false}, 1500, 40},
    {"v4_6_up", {.addressing = base_relative_before, .marker_size = 8, .uleb = false}, 1501},
    {"v4_20", {.addressing = base_relative_before, .absolute_percpu = true, .uleb = false}, 1500, 40},
    {"v4_20_long_names", {.addressing = base_relative_before, .absolute_percpu = true, .uleb = false}, 1500, 40, 200},
    {"v4_20_absolute", {.addressing = absolute, .addresses_after = false, .uleb = false}, 1999, 40},
    {"v6_1", {.addressing = base_relative_before, .absolute_percpu = true}, 1500, 40, 400},
    {"v6_1_up", {.addressing = base_relative_before}, 1500, 0, 400},
    {"v6_1_stable", {.addressing = base_relative_before, .absolute_percpu = true, .seqs_entry_size = 3}, 1500, 40, 400},
    {"v6_1_stable_even",
     {.addressing = base_relative_before, .absolute_percpu = true, .seqs_entry_size = 3},
     1800,
     40,
     400},
    {"v6_2_first", {.addressing = base_relative_before, .absolute_percpu = true, .seqs_entry_size = 4}, 1500, 40, 400},
    {"v6_2_lto", {.addressing = base_relative_before, .seqs_entry_size = 3, .sort_by_stem = true}, 3000, 0},
    {"v6_2_absolute", {.addressing = absolute, .addresses_after = false, .seqs_entry_size = 3}, 1500, 40, 400},
    {"v6_4", {.addressing = base_relative_after, .absolute_percpu = true, .seqs_entry_size = 3}, 1500, 40, 500},
    {"v6_4_odd", {.addressing = base_relative_after, .absolute_percpu = true, .seqs_entry_size = 3}, 1501, 40, 500},
    {"v6_4_absolute", {.addressing = absolute, .seqs_entry_size = 3}, 1500, 40, 400},
    {"v6_4_four_byte_seqs",
     {.addressing = base_relative_after, .absolute_percpu = true, .seqs_entry_size = 4},
     1500,
     40,
     400},
    {"v6_15", {.addressing = base_relative_after, .seqs_entry_size = 3}, 1500, 0, 511},
    {"v6_15_no_seqs", {.addressing = base_relative_after}, 1500, 0, 511},
    {"v7_0", {.addressing = place_relative, .seqs_entry_size = 3, .alignment = 4}, 1500, 0, 511},
    {"v7_0_odd", {.addressing = place_relative, .seqs_entry_size = 3, .alignment = 4}, 1501, 0, 511},
    {"v7_0_aligned_8", {.addressing = place_relative, .seqs_entry_size = 3}, 1500, 0, 511},
    {"v7_0_four_byte_seqs", {.addressing = place_relative, .seqs_entry_size = 4, .alignment = 4}, 1280, 0, 511},
    {"exactly_full_last_block", {.addressing = base_relative_after, .seqs_entry_size = 3}, 1536, 0},
    {"one_in_last_block",
     {.addressing = base_relative_before, .absolute_percpu = true, .seqs_entry_size = 3},
     1537,
     40},
};

class KallsymsRoundtrip : public testing::TestWithParam<Kernel> {
protected:
    std::vector<EncodedSymbol> symbols_ = kernel_like_symbols(GetParam().symbols, GetParam().percpu,
                                                              GetParam().longest_name);
    test::Encoded encoded_ = encode_kallsyms(symbols_, GetParam().options);
    Gva va_ = GetParam().options.region_va;
};

TEST_P(KallsymsRoundtrip, FindsTheLayout) {
    const auto found = find_kallsyms(encoded_.region, va_);
    ASSERT_TRUE(found) << found.error().to_string();
    ASSERT_EQ(found->size(), 1u);
    const KallsymsLayout& got = found->front();
    const KallsymsLayout& want = encoded_.layout;
    EXPECT_EQ(got.token_table, want.token_table);
    EXPECT_EQ(got.token_index, want.token_index);
    EXPECT_EQ(got.markers, want.markers);
    EXPECT_EQ(got.names, want.names);
    EXPECT_EQ(got.num_syms_at, want.num_syms_at);
    EXPECT_EQ(got.num_syms, want.num_syms);
    EXPECT_EQ(got.num_markers, want.num_markers);
    EXPECT_EQ(got.marker_size, want.marker_size);
    EXPECT_EQ(got.addressing, want.addressing);
    EXPECT_EQ(got.absolute_percpu, want.absolute_percpu);
    EXPECT_EQ(got.addresses, want.addresses);
    EXPECT_EQ(got.relative_base, want.relative_base);
    EXPECT_EQ(got.seqs_of_names, want.seqs_of_names);
    if (want.seqs_of_names) {
        EXPECT_EQ(got.seqs_entry_size, want.seqs_entry_size);
    }
    EXPECT_EQ(got.descending, 0u);
}

TEST_P(KallsymsRoundtrip, DecodesEverySymbolInOrder) {
    const auto found = find_kallsyms(encoded_.region, va_);
    ASSERT_TRUE(found) << found.error().to_string();
    const auto table = decode_kallsyms(encoded_.region, va_, found->front());
    ASSERT_TRUE(table) << table.error().to_string();
    ASSERT_EQ(table->size(), symbols_.size());
    for (std::size_t i = 0; i < symbols_.size(); ++i) {
        const Symbol symbol = table->at(i);
        ASSERT_EQ(symbol.name, symbols_[i].name) << i;
        ASSERT_EQ(symbol.address.value, symbols_[i].address) << i;
        ASSERT_EQ(symbol.type, symbols_[i].type) << i;
        ASSERT_EQ(symbol.module, "") << i;
    }
}

// One by one and in a batch, with the index and without: always what the decoded table answers.
TEST_P(KallsymsRoundtrip, LooksUpWhatDecodingFinds) {
    const auto found = find_kallsyms(encoded_.region, va_);
    ASSERT_TRUE(found) << found.error().to_string();
    const auto table = decode_kallsyms(encoded_.region, va_, found->front());
    ASSERT_TRUE(table) << table.error().to_string();
    std::vector<std::string> names = {"",     ".",      "_",     "zzzz", "__func__", "__func__.",
                                      "_tex", "_text.", "_text", "-",    "\xff"};
    for (const auto& symbol : symbols_) {
        names.push_back(symbol.name);
        names.push_back(symbol.name + "x");
        names.push_back(symbol.name.substr(0, symbol.name.size() / 2));
    }
    auto without_seqs = found->front();
    without_seqs.seqs_of_names.reset();
    std::size_t hits = 0;
    for (const auto& layout : {found->front(), without_seqs}) {
        for (std::size_t at = 0; at < names.size(); at += 5) {
            const std::vector<std::string_view> batch(
                names.begin() + static_cast<std::ptrdiff_t>(at),
                names.begin() + static_cast<std::ptrdiff_t>(std::min(at + 5, names.size())));
            const auto got = lookup_kallsyms(encoded_.region, va_, layout, batch);
            ASSERT_EQ(got.size(), batch.size());
            for (std::size_t i = 0; i < batch.size(); ++i) {
                ASSERT_EQ(got[i], table->address_of(batch[i]))
                    << batch[i] << (layout.seqs_of_names ? " by seqs" : " by pass");
                hits += got[i] ? 1u : 0u;
            }
        }
        const std::vector<std::string_view> all(names.begin(), names.end());
        const auto got = lookup_kallsyms(encoded_.region, va_, layout, all);
        for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(got[i], table->address_of(all[i])) << all[i];
    }
    EXPECT_GT(hits, symbols_.size());
}

TEST_P(KallsymsRoundtrip, TellsAmbiguousNamesFromAbsentOnes) {
    const auto found = find_kallsyms(encoded_.region, va_);
    ASSERT_TRUE(found) << found.error().to_string();
    const auto table = decode_kallsyms(encoded_.region, va_, found->front());
    ASSERT_TRUE(table) << table.error().to_string();
    std::map<std::string, std::set<std::uint64_t>> by_name;
    for (const auto& symbol : symbols_) by_name[symbol.name].insert(symbol.address);
    std::size_t ambiguous = 0;
    for (const auto& [name, addresses] : by_name) {
        const auto symbol = table->by_name(name);
        if (addresses.size() == 1) {
            ASSERT_TRUE(symbol) << name;
            EXPECT_EQ(symbol->address.value, *addresses.begin());
        } else {
            ASSERT_FALSE(symbol) << name;
            EXPECT_EQ(symbol.error().code, Errc::ambiguous);
            ++ambiguous;
        }
    }
    EXPECT_GT(ambiguous, 0u);
}

INSTANTIATE_TEST_SUITE_P(AllLayouts, KallsymsRoundtrip, testing::ValuesIn(kKernels),
                         [](const auto& param) { return std::string(param.param.name); });

// Lengths of 128 to 255 are one plain byte before 6.1 and two bytes after: both really occur, and only one reading fits.
TEST(KallsymsLengths, BothReadingsOfLongLengthsAreTold) {
    const auto symbols = kernel_like_symbols(1500, 0, 250);
    for (const bool uleb : {false, true}) {
        const auto encoded = encode_kallsyms(symbols, {.addressing = base_relative_after, .uleb = uleb});
        const auto found = find_kallsyms(encoded.region, std::nullopt);
        ASSERT_TRUE(found) << found.error().to_string();
        EXPECT_EQ(found->front().uleb_lengths, uleb);
        const auto table = decode_kallsyms(encoded.region, std::nullopt, found->front());
        ASSERT_TRUE(table) << table.error().to_string();
        for (std::size_t i = 0; i < symbols.size(); ++i) ASSERT_EQ(table->at(i).name, symbols[i].name);
    }
}

TEST(KallsymsPlaceRelative, IsFoundWithoutAnAddressAndDecodedWithOne) {
    const auto symbols = kernel_like_symbols(1500, 0, 100);
    const EncodeOptions options{.addressing = place_relative, .seqs_entry_size = 3, .alignment = 4};
    const auto encoded = encode_kallsyms(symbols, options);
    const auto found = find_kallsyms(encoded.region, std::nullopt);
    ASSERT_TRUE(found) << found.error().to_string();
    EXPECT_EQ(found->front().addressing, place_relative);
    const auto blind = decode_kallsyms(encoded.region, std::nullopt, found->front());
    ASSERT_FALSE(blind);
    EXPECT_EQ(blind.error().code, Errc::usage);
    const std::string_view text = "_text";
    EXPECT_THAT(lookup_kallsyms(encoded.region, std::nullopt, found->front(), {&text, 1}),
                testing::ElementsAre(std::nullopt));
    EXPECT_THAT(lookup_kallsyms(encoded.region, options.region_va, found->front(), {&text, 1}),
                testing::ElementsAre(Gva{symbols[0].address}));
}

// An address that puts the symbols outside the kernel's half is not this table's.
TEST(KallsymsPlaceRelative, AWrongAddressIsRefused) {
    const auto encoded = encode_kallsyms(kernel_like_symbols(1500, 0, 100),
                                         {.addressing = place_relative, .seqs_entry_size = 3, .alignment = 4});
    const auto found = find_kallsyms(encoded.region, Gva{0x12345000});
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().code, Errc::not_found);
}

TEST(KallsymsRegion, MayBeginAtAnyAlignment) {
    const auto symbols = kernel_like_symbols(1500, 40, 100);
    const auto encoded = encode_kallsyms(
        symbols, {.addressing = base_relative_before, .absolute_percpu = true, .seqs_entry_size = 3});
    for (std::size_t cut = 0; cut < 9; ++cut) {
        const auto region = std::span<const std::byte>(encoded.region).subspan(cut);
        const auto found = find_kallsyms(region, std::nullopt);
        ASSERT_TRUE(found) << cut;
        const auto table = decode_kallsyms(region, std::nullopt, found->front());
        ASSERT_TRUE(table) << cut;
        EXPECT_EQ(table->at(1499).name, symbols[1499].name);
    }
}

}  // namespace
}  // namespace vitrine
