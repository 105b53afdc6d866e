// Every damage to a small blob: it is refused or harmless, never a crash. Run with the sanitizers to mean anything.
#include <gtest/gtest.h>

#include <cstring>
#include <iterator>

#include "sample_btf.h"
#include "vitrine/types/catalog.h"

namespace vitrine {
namespace {

using test::BtfWriter;

// Uses everything that can be asked of an accepted catalog.
void exercise(const TypeCatalog& types) {
    for (TypeId id = 0; id < types.size(); ++id) {
        const Type& type = *types.type(id);
        (void)types.strip(id);
        (void)types.size_of(id);
        (void)types.declaration(id, "x");
        (void)types.definition(id);
        if (!types.type_name(id).empty()) (void)types.find(types.type_name(id));
        for (const Member& m : types.members(type)) {
            if (m.name != 0) (void)types.field(id, types.name(m.name));
        }
        for (const Enumerator& e : types.enumerators(type)) (void)types.enumerator("", types.name(e.name));
    }
}

TEST(MalformedBtf, TruncatedAtEveryByte) {
    const auto blob = test::sample_btf().blob();
    for (std::size_t size = 0; size < blob.size(); ++size) {
        const std::vector<std::byte> cut(blob.begin(), blob.begin() + static_cast<std::ptrdiff_t>(size));
        EXPECT_FALSE(parse_btf(cut, "").has_value()) << size;
    }
}

// The type section shortened to end within each record, header adjusted.
TEST(MalformedBtf, TypeSectionCutInsideEachRecord) {
    const BtfWriter w = test::sample_btf();
    const auto offsets = w.record_offsets();
    for (const std::size_t at : offsets) {
        for (const std::uint32_t extra : {4u, 8u}) {
            auto blob = w.blob();
            const auto length = static_cast<std::uint32_t>(at - 24 + extra);
            std::memcpy(blob.data() + 12, &length, sizeof length);
            EXPECT_FALSE(parse_btf(blob, "").has_value()) << at << "+" << extra;
        }
    }
}

TEST(MalformedBtf, EveryWordReplacedByExtremes) {
    const auto blob = test::sample_btf().blob();
    std::size_t accepted = 0;
    std::size_t refused = 0;
    for (std::size_t at = 0; at + 4 <= blob.size(); at += 4) {
        for (const std::uint32_t value : {0u, 1u, 2u, 0x7fu, 0xffffu, 0x7fffffffu, 0x80000000u, 0xfffffffcu,
                                          0xffffffffu, 0x84ffffffu, 0x13000001u, 0x0400ffffu}) {
            auto damaged = blob;
            std::memcpy(damaged.data() + at, &value, sizeof value);
            const auto types = parse_btf(damaged, "");
            (types ? accepted : refused) += 1;
            if (types) exercise(**types);
        }
    }
    EXPECT_GT(accepted, 0u);
    EXPECT_GT(refused, 0u);
}

TEST(MalformedBtf, EveryReferenceRedirected) {
    const BtfWriter w = test::sample_btf();
    const auto blob = w.blob();
    const std::size_t types_end = blob.size() - w.string_bytes();
    for (std::size_t at = 24; at + 4 <= types_end; at += 4) {
        for (std::uint32_t id = 0; id < w.next_id(); ++id) {
            auto damaged = blob;
            std::memcpy(damaged.data() + at, &id, sizeof id);
            const auto types = parse_btf(damaged, "");
            if (types) exercise(**types);
        }
    }
}

TEST(MalformedBtf, SplitDamage) {
    const BtfWriter base = test::sample_btf();
    BtfWriter split(base.next_id(), base.string_bytes());
    split.structure("s", 8, {{"a", 1, 0}});
    split.pointer(base.next_id());
    const auto base_blob = base.blob();
    const auto blob = split.blob();
    for (std::size_t at = 0; at + 4 <= blob.size(); at += 4) {
        for (const std::uint32_t value : {0u, 1u, 0xffffu, 0x7fffffffu, 0xffffffffu}) {
            auto damaged = blob;
            std::memcpy(damaged.data() + at, &value, sizeof value);
            const auto types = parse_split_btf(base_blob, damaged, "");
            if (types) exercise(**types);
        }
    }
}

// Every name is read for each record that names it, or a part of it; what bounds that is the length of one.
TEST(MalformedBtf, NamesAsLongAsTheKernelTakesThemAndNoLonger) {
    for (const std::size_t length : {512u, 513u, 5000u}) {
        BtfWriter w;
        w.integer("int", 4);
        w.structure(std::string(length, 'A'), 0, {});
        w.structure("last", 0, {});
        const auto types = parse_btf(w.blob(), "");
        EXPECT_EQ(types.has_value(), length <= 512) << length;
        EXPECT_TRUE(types || types.error().code == Errc::limit) << length;
    }
}

TEST(MalformedBtf, TheLengthOfNamesIsBoundedInSplitTypesToo) {
    const BtfWriter base = test::sample_btf();
    for (const std::size_t length : {512u, 513u}) {
        BtfWriter split(base.next_id(), base.string_bytes());
        split.structure("s", 8, {{std::string(length, 'm'), 1, 0}});
        EXPECT_EQ(parse_split_btf(base.blob(), split.blob(), "").has_value(), length <= 512) << length;
    }
}

// Two million records that share one name of 24 MiB: 48 TB to hash, unless it is refused before.
TEST(MalformedBtf, AnEndlessNameSharedByEveryRecord) {
    constexpr std::uint32_t kSection = 24u << 20;
    std::vector<std::byte> blob(24 + 2 * std::size_t{kSection}, std::byte{'A'});
    const auto put = [&blob](std::size_t at, std::uint32_t value) { std::memcpy(blob.data() + at, &value, 4); };
    const std::uint32_t header[] = {0x0001eb9f, 24, 0, kSection, kSection, kSection};
    for (std::size_t i = 0; i < std::size(header); ++i) put(i * 4, header[i]);
    for (std::size_t at = 24; at < 24 + kSection; at += 12) {
        put(at, 1);
        put(at + 4, 4u << 24);  // a structure without members
        put(at + 8, 0);
    }
    blob[24 + kSection] = blob.back() = std::byte{0};
    const auto types = parse_btf(blob, "");
    ASSERT_FALSE(types);
    EXPECT_EQ(types.error().code, Errc::limit);
}

}  // namespace
}  // namespace vitrine
