// Tables that are cut, damaged, copied or made to waste time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <random>

#include "support/kallsyms_encoder.h"
#include "symbols/kallsyms/reader.h"
#include "vitrine/symbols/kallsyms.h"

namespace vitrine {
namespace {

using test::encode_kallsyms;
using test::Encoded;
using test::EncodedSymbol;
using test::EncodeOptions;
using test::kernel_like_symbols;
using Bytes = std::vector<std::byte>;

using enum KallsymsAddressing;

const EncodeOptions kLayouts[] = {
    {.addressing = base_relative_before, .absolute_percpu = true, .seqs_entry_size = 3},
    {.addressing = base_relative_before, .absolute_percpu = true, .marker_size = 8, .uleb = false},
    {.addressing = base_relative_after, .absolute_percpu = true, .seqs_entry_size = 3},
    {.addressing = place_relative, .seqs_entry_size = 3, .alignment = 4},
    {.addressing = absolute, .addresses_after = false, .uleb = false},
};

std::vector<EncodedSymbol> symbols_for(const EncodeOptions& options) {
    return kernel_like_symbols(1100, options.absolute_percpu ? 30 : 0, 120);
}

void append(Bytes& to, const Bytes& from) { to.insert(to.end(), from.begin(), from.end()); }

// Whatever comes out must be the truth or nothing.
void expect_right_or_nothing(std::span<const std::byte> region, std::optional<Gva> va,
                             const std::vector<EncodedSymbol>& truth) {
    const auto found = find_kallsyms(region, va);
    if (!found) return;
    const auto table = decode_kallsyms(region, va, found->front());
    if (!table) return;
    ASSERT_EQ(table->size(), truth.size());
    for (std::size_t i = 0; i < truth.size(); ++i) {
        ASSERT_EQ(table->at(i).name, truth[i].name);
        ASSERT_EQ(table->at(i).address.value, truth[i].address);
    }
}

TEST(KallsymsHostile, EmptyAndTinyRegions) {
    for (const std::size_t size : {0u, 1u, 19u, 20u, 21u, 33u, 34u, 35u, 600u}) {
        const Bytes region(size);
        const auto found = find_kallsyms(region, std::nullopt);
        ASSERT_FALSE(found);
        EXPECT_EQ(found.error().code, Errc::not_found);
    }
}

TEST(KallsymsHostile, TheErrorTellsHowFarItGot) {
    Bytes region(100);
    for (std::size_t i = 0; i < 10; ++i) region[40 + 2 * i] = static_cast<std::byte>('0' + i);
    const auto found = find_kallsyms(region, std::nullopt);
    ASSERT_FALSE(found);
    EXPECT_THAT(found.error().to_string(), testing::HasSubstr("1 anchors, 0 token tables"));
}

TEST(KallsymsHostile, CutAtTheEnd) {
    for (const auto& options : kLayouts) {
        const auto symbols = symbols_for(options);
        const Encoded encoded = encode_kallsyms(symbols, options);
        for (std::size_t size = 0; size < encoded.region.size(); size += 131) {
            expect_right_or_nothing(std::span(encoded.region).first(size), options.region_va, symbols);
        }
        for (std::uint64_t size = encoded.tables_end - 16; size <= encoded.tables_end; ++size) {
            expect_right_or_nothing(std::span(encoded.region).first(size), options.region_va, symbols);
        }
    }
}

TEST(KallsymsHostile, CutAtTheFront) {
    for (const auto& options : kLayouts) {
        const auto symbols = symbols_for(options);
        const Encoded encoded = encode_kallsyms(symbols, options);
        for (std::size_t cut = 0; cut < encoded.region.size(); cut += 136) {
            expect_right_or_nothing(std::span(encoded.region).subspan(cut), options.region_va.plus(cut), symbols);
        }
    }
}

// Bounds hold under the address sanitizer; what is still decoded is used in full.
TEST(KallsymsHostile, FlippedBitsNeverBreakOut) {
    std::mt19937 random(3);
    std::size_t decoded = 0, refused = 0;
    for (const auto& options : kLayouts) {
        const Encoded encoded = encode_kallsyms(symbols_for(options), options);
        const std::vector<std::string_view> names = {"_text", "__func__", "tcp_udp", "nothing"};
        for (int round = 0; round < 300; ++round) {
            Bytes region = encoded.region;
            for (int flips = 1 + round % 3; flips != 0; --flips) {
                const std::uint64_t at = encoded.tables_begin + random() % (encoded.tables_end - encoded.tables_begin);
                region[at] ^= static_cast<std::byte>(1u << random() % 8);
            }
            const auto found = find_kallsyms(region, options.region_va);
            // The layout the tables had before is used, too: the guest may change them after they were found.
            for (const auto& layout : {found ? found->front() : encoded.layout, encoded.layout}) {
                (void)lookup_kallsyms(region, options.region_va, layout, names);
                const auto table = decode_kallsyms(region, options.region_va, layout);
                ++(table ? decoded : refused);
                if (!table) continue;
                for (std::size_t i = 0; i < table->size(); ++i) (void)table->nearest(table->at(i).address);
            }
        }
    }
    EXPECT_GT(decoded, 100u);
    EXPECT_GT(refused, 10u);
}

TEST(KallsymsHostile, LayoutsFromElsewhereAreRefused) {
    const auto options = kLayouts[2];
    const Encoded encoded = encode_kallsyms(symbols_for(options), options);
    const std::string_view name = "_text";
    std::vector<KallsymsLayout> bad(14, encoded.layout);
    bad[0].num_syms = 0;
    bad[1].num_syms = 0xffffffff;
    bad[2].num_markers = 0xffffffff;
    bad[3].markers = ~std::uint64_t{0} - 3;
    bad[4].names = ~std::uint64_t{0};
    bad[5].token_table = ~std::uint64_t{0} - 10;
    bad[6].token_index = encoded.region.size() - 100;
    bad[7].addresses = encoded.region.size() - 8;
    bad[8].addresses = ~std::uint64_t{0} - 7;
    bad[9].seqs_of_names = ~std::uint64_t{0} - 7;
    bad[10].seqs_entry_size = 0;
    bad[11].marker_size = 3;
    bad[12].names = encoded.region.size() - 1;
    bad[13].markers = encoded.region.size() - 8;
    for (std::size_t i = 0; i < bad.size(); ++i) {
        EXPECT_FALSE(decode_kallsyms(encoded.region, options.region_va, bad[i])) << i;
        if (i == 12) continue;  // decodes no name; lookups find nothing or what the index leads to
        EXPECT_EQ(lookup_kallsyms(encoded.region, options.region_va, bad[i], {&name, 1}).front(), std::nullopt) << i;
    }
}

TEST(KallsymsHostile, DecoysBeforeTheRealTables) {
    const auto options = kLayouts[3];
    const auto symbols = symbols_for(options);
    const Encoded encoded = encode_kallsyms(symbols, options);
    Bytes region(4096);
    // Digits in UTF-16, as NLS tables and Windows programs in the page cache have them.
    for (std::size_t i = 0; i < 64; ++i) region[512 + 2 * i] = static_cast<std::byte>('!' + i);
    // A token table without an index, and one with an index but no markers.
    const auto token_bytes = std::span(encoded.region).subspan(encoded.layout.token_table);
    const std::size_t tokens = encoded.layout.token_index - encoded.layout.token_table;
    region.insert(region.end(), token_bytes.begin(), token_bytes.begin() + static_cast<std::ptrdiff_t>(tokens));
    region.resize(16384);
    region.insert(region.end(), token_bytes.begin(), token_bytes.begin() + static_cast<std::ptrdiff_t>(tokens + 512));
    region.resize(32768);
    // Tables that stop in the middle.
    region.insert(region.end(), encoded.region.begin(),
                  encoded.region.begin() + static_cast<std::ptrdiff_t>(encoded.layout.markers));
    region.resize((region.size() + 4095) / 4096 * 4096);
    const std::size_t real = region.size();
    append(region, encoded.region);
    const Gva va = options.region_va.wrap_minus(real);
    const auto found = find_kallsyms(region, va);
    ASSERT_TRUE(found) << found.error().to_string();
    ASSERT_EQ(found->size(), 1u);
    EXPECT_EQ(found->front().token_table, real + encoded.layout.token_table);
    const auto table = decode_kallsyms(region, va, found->front());
    ASSERT_TRUE(table);
    for (std::size_t i = 0; i < symbols.size(); ++i) ASSERT_EQ(table->at(i).address.value, symbols[i].address);
}

// A stale kernel looks as good as the running one. Both are handed back; who is alive is decided elsewhere.
TEST(KallsymsHostile, EveryCopyIsACandidate) {
    const auto first = encode_kallsyms(kernel_like_symbols(1100, 30, 100), kLayouts[0]);
    const auto second = encode_kallsyms(kernel_like_symbols(1300, 0, 100, 0xffffffffa0000000, 9), kLayouts[2]);
    Bytes region = first.region;
    append(region, second.region);
    const auto found = find_kallsyms(region, std::nullopt);
    ASSERT_TRUE(found);
    ASSERT_EQ(found->size(), 2u);
    EXPECT_EQ((*found)[0].num_syms, 1100u);
    EXPECT_EQ((*found)[1].num_syms, 1300u);
}

TEST(KallsymsHostile, FewestDescendingNeighboursComeFirst) {
    auto symbols = kernel_like_symbols(1300, 0, 100);
    const auto right = encode_kallsyms(symbols, kLayouts[2]);
    std::swap(symbols[500].address, symbols[700].address);
    const auto damaged = encode_kallsyms(symbols, kLayouts[2]);
    Bytes region = damaged.region;
    append(region, right.region);
    const auto found = find_kallsyms(region, std::nullopt);
    ASSERT_TRUE(found);
    ASSERT_EQ(found->size(), 2u);
    EXPECT_EQ((*found)[0].descending, 0u);
    EXPECT_GT((*found)[0].token_table, damaged.region.size());
    EXPECT_GT((*found)[1].descending, 0u);
}

TEST(KallsymsHostile, UnsortedAddressesAreNoKernel) {
    auto symbols = kernel_like_symbols(1300, 0, 100);
    std::mt19937 random(5);
    for (std::size_t i = 1; i < symbols.size(); ++i) std::swap(symbols[i].address, symbols[1 + random() % i].address);
    const auto found = find_kallsyms(encode_kallsyms(symbols, kLayouts[2]).region, std::nullopt);
    ASSERT_FALSE(found);
    EXPECT_THAT(found.error().to_string(), testing::HasSubstr("1 with names"));
}

// Read as base-relative, absolute addresses are: a page-aligned base (the last address) and offsets whose sums alternate between
// that base and values that wrapped.
TEST(KallsymsHostile, AbsoluteAddressesAreNotTakenForOffsets) {
    auto symbols = kernel_like_symbols(1100, 0, 100);
    symbols.back().address = 0xffffffff81800000;
    const auto encoded = encode_kallsyms(symbols, kLayouts[4]);
    const auto found = find_kallsyms(encoded.region, std::nullopt);
    ASSERT_TRUE(found);
    ASSERT_EQ(found->size(), 1u);
    EXPECT_EQ(found->front().addressing, absolute);
    // Cut so that the absolute reading no longer fits.
    const auto cut = find_kallsyms(std::span(encoded.region).subspan(encoded.layout.addresses + 800), std::nullopt);
    EXPECT_FALSE(cut);
}

// Offsets without per-CPU encoding rise, read as place-relative ones they still do.
TEST(KallsymsHostile, UnsignedOffsetsAreNotTakenForPlaceRelativeOnes) {
    const auto encoded = encode_kallsyms(kernel_like_symbols(1100, 0, 100), {.addressing = base_relative_after});
    Bytes region = encoded.region;
    const std::uint64_t base_at = encoded.layout.addresses + 1100 * 4;
    region[base_at + 7] = std::byte{0x7f};  // no base in the kernel's half any more
    EXPECT_FALSE(find_kallsyms(region, std::nullopt));
}

// Millions of names of one byte whose tokens are 512 characters long would be gigabytes.
TEST(KallsymsHostile, ExpansionIsBounded) {
    std::vector<EncodedSymbol> symbols;
    const std::string long_name(500, 'a');
    for (std::size_t i = 0; i < 200'000; ++i) symbols.push_back({0xffffffff81000000 + i, 'T', long_name});
    const auto encoded = encode_kallsyms(symbols, {.addressing = base_relative_after});
    EXPECT_LT(encoded.region.size(), 8u << 20);
    const auto found = find_kallsyms(encoded.region, std::nullopt);
    ASSERT_TRUE(found) << found.error().to_string();
    const auto table = decode_kallsyms(encoded.region, std::nullopt, found->front());
    ASSERT_FALSE(table);
    EXPECT_EQ(table.error().code, Errc::limit);
}

TEST(KallsymsHostile, NamesBeyondTheKernelsLimitAreRefused) {
    auto symbols = kernel_like_symbols(1100, 0, 100);
    symbols[800].name = std::string(600, 'q');
    const auto encoded = encode_kallsyms(symbols, {.addressing = base_relative_after});
    const auto table = decode_kallsyms(encoded.region, std::nullopt, encoded.layout);
    ASSERT_FALSE(table);
    EXPECT_EQ(table.error().code, Errc::malformed);
}

// The index is a guest's, too: entries out of range, all equal, or in a false order lead nowhere, never to a wrong answer.
TEST(KallsymsHostile, AFalseNameIndexNeverGivesAFalseAddress) {
    const auto options = kLayouts[2];
    const auto symbols = symbols_for(options);
    const Encoded encoded = encode_kallsyms(symbols, options);
    const auto truth = decode_kallsyms(encoded.region, std::nullopt, encoded.layout);
    ASSERT_TRUE(truth);
    std::vector<std::string_view> names = {"_text", "tcp_udp", "nothing"};
    std::mt19937 random(11);
    for (int round = 0; round < 100; ++round) {
        Bytes region = encoded.region;
        for (std::size_t i = 0; i < 1100 * 3; ++i) {
            auto& byte = region[*encoded.layout.seqs_of_names + i];
            if (round == 0) byte = std::byte{0xff};
            else if (round == 1) byte = std::byte{0};
            else if (i % 3 != 0) byte = static_cast<std::byte>(random());
        }
        const auto got = lookup_kallsyms(region, std::nullopt, encoded.layout, names);
        for (std::size_t i = 0; i < names.size(); ++i) {
            if (!got[i]) continue;
            const auto all = truth->all_by_name(names[i]);
            EXPECT_TRUE(std::any_of(all.begin(), all.end(), [&](const Symbol& s) { return s.address == *got[i]; }));
        }
        // And the search notices: without the index lookups are right again.
        const auto found = find_kallsyms(region, std::nullopt);
        ASSERT_TRUE(found);
        EXPECT_FALSE(found->front().seqs_of_names);
    }
}

// Codes that no name uses have empty tokens. A name made of them alone would never reach the limit of its length.
TEST(KallsymsHostile, NamesWithEmptyTokensAreRefused) {
    const std::vector<EncodedSymbol> symbols(1100, {0xffffffff81000000, 'T', "few_tokens"});
    const Encoded encoded = encode_kallsyms(symbols, {.addressing = base_relative_after});
    ASSERT_TRUE(decode_kallsyms(encoded.region, std::nullopt, encoded.layout));
    const auto tokens = kallsyms::TokenTable::load(ByteView(encoded.region),
                                                   {encoded.layout.token_table, encoded.layout.token_index});
    ASSERT_TRUE(tokens);
    ASSERT_TRUE((*tokens)[0].empty());
    std::array<char, kallsyms::kMaxExpandedLength + kallsyms::TokenTable::kSlack> text;
    EXPECT_EQ(tokens->expand(std::vector<std::uint8_t>{'T', 'f'}, text.data()), 2u);
    EXPECT_EQ(tokens->expand(std::vector<std::uint8_t>{'T', 0, 'f'}, text.data()), std::nullopt);

    Bytes region = encoded.region;
    region[encoded.layout.names + 1] = std::byte{0};  // the first code of the first name
    const auto table = decode_kallsyms(region, std::nullopt, encoded.layout);
    ASSERT_FALSE(table);
    EXPECT_EQ(table.error().code, Errc::malformed);
}

TEST(KallsymsHostile, NamesHaveNoMoreCodesThanCharacters) {
    for (const std::size_t codes : {513u, 514u, 32767u}) {
        Bytes region(codes + 2, std::byte{'a'});
        region[0] = static_cast<std::byte>((codes & 0x7f) | 0x80);
        region[1] = static_cast<std::byte>(codes >> 7);
        EXPECT_EQ(kallsyms::packed_name_at(region, true, 0).has_value(), codes <= 513) << codes;
    }
}

// "wanted" sorts before all "wanted.N": a search reads on through them, in case a second "wanted" follows.
TEST(KallsymsHostile, OneNameWithEndlessSuffixesIsGivenUp) {
    for (const std::size_t suffixes : {1000u, 6000u}) {
        std::vector<EncodedSymbol> symbols;
        for (std::size_t i = 0; i < 8000; ++i) {
            const bool same = i > 0 && i <= suffixes;
            symbols.push_back({0xffffffff81000000 + i * 16, 'T',
                               (i == 0 ? "wanted"
                                : same ? "wanted."
                                       : "z") +
                                   (i == 0 ? "" : std::to_string(i))});
        }
        const auto encoded = encode_kallsyms(symbols, {.addressing = base_relative_after, .seqs_entry_size = 3});
        const std::string_view name = "wanted";
        const auto found = lookup_kallsyms(encoded.region, std::nullopt, encoded.layout, {&name, 1});
        EXPECT_EQ(found.front().has_value(), suffixes == 1000u) << suffixes;
    }
}

// A region made of nothing but anchors, and one of token tables without markers, in a time nobody notices.
TEST(KallsymsHostile, FloodsOfDecoysEnd) {
    const auto start = std::chrono::steady_clock::now();
    Bytes anchors(8u << 20);
    for (std::size_t i = 0; i + 1 < anchors.size(); i += 2) anchors[i] = static_cast<std::byte>('0' + i / 2 % 10);
    const auto none = find_kallsyms(anchors, std::nullopt);
    ASSERT_FALSE(none);
    EXPECT_THAT(none.error().to_string(), testing::HasSubstr("gave up at the work limit"));

    const auto encoded = encode_kallsyms(symbols_for(kLayouts[0]), kLayouts[0]);
    const auto tokens = std::span(encoded.region).subspan(encoded.layout.token_table, 2048);
    Bytes region(4u << 20);
    for (int i = 0; i < 200; ++i) region.insert(region.end(), tokens.begin(), tokens.end());
    EXPECT_FALSE(find_kallsyms(region, std::nullopt));
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

}  // namespace
}  // namespace vitrine
