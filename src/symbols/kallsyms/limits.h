// What is believed of a guest's tables. All limits are far above what any kernel has.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vitrine::kallsyms {

inline constexpr std::uint32_t kMaxSymbols = 4u << 20;  // the largest kernels have about 200,000
inline constexpr std::size_t kNamesPerMarker = 256;
inline constexpr std::size_t kMaxMarkers = kMaxSymbols / kNamesPerMarker;
inline constexpr std::size_t kMinMarkers = 4;  // the smallest kernels have some 5,000 symbols
inline constexpr std::size_t kTokens = 256;
inline constexpr std::size_t kMaxTokenLength = 512;
inline constexpr std::size_t kMaxNameLength = 512;                     // KSYM_NAME_LEN of 6.1 and later
inline constexpr std::size_t kMaxExpandedLength = kMaxNameLength + 1;  // with the type letter in front
inline constexpr std::size_t kMaxArenaBytes = 64u << 20;               // text of all names of one table
inline constexpr std::uint64_t kTokenIndexBytes = kTokens * sizeof(std::uint16_t);

// A name takes one length byte and one token byte at least; a token expands to one character at least.
inline constexpr std::uint64_t kMinMarkerStep = kNamesPerMarker * 2;
inline constexpr std::uint64_t kMaxMarkerStep = kNamesPerMarker * (kMaxExpandedLength + 2);

inline constexpr std::uint64_t kKernelMapStart = 0xffffffff80000000;  // __START_KERNEL_map of x86-64

}  // namespace vitrine::kallsyms
