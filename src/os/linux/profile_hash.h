// Tells whether a guest holds the very bytes that a cached profile was decoded from.
//
// A guest may want to plant a profile that is then used for another guest of the same build. So the hash is keyed by a secret that
// no guest knows, and for a secret key the chance of a collision is bounded whatever bytes the guest chooses.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "os/linux/find/prove.h"

namespace vitrine::linux_os {

// A polynomial over the integers modulo 2^61 - 1, evaluated at the key: two different inputs of n bytes agree for at
// most n / 7 + 2 of the 2^61 keys (Carter and Wegman). Pieces are told apart by their lengths.
class KeyedHash {
public:
    explicit KeyedHash(std::uint64_t key);
    void add(std::span<const std::byte> piece);
    [[nodiscard]] std::uint64_t value() const { return sum_; }

private:
    static constexpr std::size_t kAtOnce = 16;
    std::array<std::uint64_t, kAtOnce + 1> powers_;  // key^0 .. key^kAtOnce
    std::uint64_t sum_ = 1;
};

// The folder's secret; made anew, if asked for, when there is none or others could have read it. nullopt when that fails.
[[nodiscard]] std::optional<std::uint64_t> cache_key(const std::string& directory, bool make);

struct ProfileHashes {
    std::uint64_t tables = 0;  // all that kallsyms consists of
    std::uint64_t btf = 0;
    friend bool operator==(const ProfileHashes&, const ProfileHashes&) = default;
};

// Of the guest's bytes at the places the profile names, which are the same wherever the build was loaded. nullopt when they cannot be read,
// or for tables with absolute addresses, which differ with each load address.
[[nodiscard]] std::optional<ProfileHashes> hash_guest(PhysicalMemory& memory, const ProvenKernel& kernel,
                                                      std::uint64_t key);

// The same of the very copies that the kernel was decoded from. A guest that shows other bytes at a second look would else put a layout
// of its own making under the hashes of genuine bytes. nullopt when the copies were not kept.
[[nodiscard]] std::optional<ProfileHashes> hash_copies(const ProvenKernel& kernel, std::uint64_t key);

// The part of the region that the symbol tables take up: [begin, end).
struct TablesSpan {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
};
[[nodiscard]] TablesSpan tables_span(const KallsymsLayout& layout);

}  // namespace vitrine::linux_os
