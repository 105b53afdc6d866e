// Hash of a type's name for the sorted name index: quick on the short names of C. Collisions cost a comparison; the
// number looked at per name is bounded, so crafted ones cannot slow a lookup down.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace vitrine {

inline std::uint64_t name_hash(std::string_view name) {
    constexpr std::uint64_t kMultiplier = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio, odd
    std::uint64_t hash = name.size() * kMultiplier;
    const auto mix = [&hash](std::uint64_t word) {
        hash = (hash ^ word) * kMultiplier;
        hash ^= hash >> 32;
    };
    while (name.size() >= 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, name.data(), 8);
        mix(word);
        name.remove_prefix(8);
    }
    std::uint64_t rest = 0;
    if (!name.empty()) std::memcpy(&rest, name.data(), name.size());
    mix(rest);
    return hash;
}

}  // namespace vitrine
