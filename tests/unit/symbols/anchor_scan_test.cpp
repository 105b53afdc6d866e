#include "symbols/kallsyms/anchor_scan.h"

#include <gtest/gtest.h>

#include <vector>

namespace vitrine::kallsyms {
namespace {

void put_anchor(std::vector<std::byte>& bytes, std::size_t at) {
    for (std::size_t i = 0; i < 10; ++i) {
        bytes[at + 2 * i] = static_cast<std::byte>('0' + i);
        bytes[at + 2 * i + 1] = std::byte{0};
    }
}

// Every position in buffers of every small size, so that the vector loop, its seams and the tail are all used.
TEST(AnchorScan, FindsAnAnchorAnywhere) {
    for (std::size_t size = kAnchorLength; size < 110; ++size) {
        for (std::size_t at = 0; at + kAnchorLength <= size; ++at) {
            std::vector<std::byte> bytes(size, std::byte{'0'});
            put_anchor(bytes, at);
            EXPECT_EQ(find_anchor(bytes, 0), at) << size;
            EXPECT_EQ(find_anchor(bytes, at), at) << size;
            EXPECT_EQ(find_anchor(bytes, at + 1), std::nullopt) << size;
        }
    }
}

TEST(AnchorScan, FindsOneAfterTheOther) {
    std::vector<std::byte> bytes(1000);
    for (const std::size_t at : {3u, 23u, 100u, 980u}) put_anchor(bytes, at);
    std::vector<std::size_t> found;
    for (auto hit = find_anchor(bytes, 0); hit; hit = find_anchor(bytes, *hit + 1)) found.push_back(*hit);
    EXPECT_EQ(found, (std::vector<std::size_t>{3, 23, 100, 980}));
}

TEST(AnchorScan, NearMissesAreNone) {
    for (std::size_t wrong = 0; wrong < kAnchorLength; ++wrong) {
        std::vector<std::byte> bytes(64);
        put_anchor(bytes, 17);
        bytes[17 + wrong] ^= std::byte{1};
        EXPECT_EQ(find_anchor(bytes, 0), std::nullopt) << wrong;
    }
    EXPECT_EQ(find_anchor({}, 0), std::nullopt);
    EXPECT_EQ(find_anchor(std::vector<std::byte>(10), 100), std::nullopt);
}

}  // namespace
}  // namespace vitrine::kallsyms
