#include "symbols/kallsyms/anchor_scan.h"

#include <array>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#    include <emmintrin.h>
#endif

namespace vitrine::kallsyms {
namespace {

constexpr std::array<char, kAnchorLength> kAnchor = {'0', 0, '1', 0, '2', 0, '3', 0, '4', 0,
                                                     '5', 0, '6', 0, '7', 0, '8', 0, '9', 0};

bool anchor_at(const std::byte* bytes) { return std::memcmp(bytes, kAnchor.data(), kAnchorLength) == 0; }

#if defined(__SSE2__)
// Positions p in [at, at+16) with '0' at p, '2' at p+4 and '9' at p+18, as a bit mask. Three bytes far apart leave few
// false positives, also in UTF-16 text; needs 34 readable bytes.
unsigned likely_anchors(const std::byte* at) {
    const auto load = [](const std::byte* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); };
    const __m128i zero = _mm_cmpeq_epi8(load(at), _mm_set1_epi8('0'));
    const __m128i two = _mm_cmpeq_epi8(load(at + 4), _mm_set1_epi8('2'));
    const __m128i nine = _mm_cmpeq_epi8(load(at + 18), _mm_set1_epi8('9'));
    return static_cast<unsigned>(_mm_movemask_epi8(_mm_and_si128(_mm_and_si128(zero, two), nine)));
}
constexpr std::size_t kStep = 16;
constexpr std::size_t kLookAhead = 34;
#endif

}  // namespace

std::optional<std::size_t> find_anchor(std::span<const std::byte> region, std::size_t from) {
    const std::byte* data = region.data();
    const std::size_t size = region.size();
    std::size_t at = from;
#if defined(__SSE2__)
    for (; at < size && size - at >= kLookAhead; at += kStep) {
        unsigned mask = likely_anchors(data + at);
        for (; mask != 0; mask &= mask - 1) {
            const std::size_t hit = at + static_cast<std::size_t>(__builtin_ctz(mask));
            if (size - hit >= kAnchorLength && anchor_at(data + hit)) return hit;
        }
    }
#endif
    for (; at < size && size - at >= kAnchorLength; ++at) {
        if (data[at] == std::byte{'0'} && anchor_at(data + at)) return at;
    }
    return std::nullopt;
}

}  // namespace vitrine::kallsyms
