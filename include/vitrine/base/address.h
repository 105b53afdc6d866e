// Strong types for addresses: a guest-physical address cannot be passed where a guest-virtual one is wanted.
//
//   Gva task{0xffff888003a40000};
//   std::optional<Gva> name = task.plus(offset);   // nullopt on wrap-around
//
// All addresses are byte addresses. Arithmetic that could wrap returns optional or says so.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>

namespace vitrine {

template <class Tag>
struct Address {
    std::uint64_t value = 0;

    constexpr Address() = default;
    constexpr explicit Address(std::uint64_t v) : value(v) {}

    // Checked addition: nullopt when the sum does not fit in 64 bits.
    [[nodiscard]] constexpr std::optional<Address> plus(std::uint64_t bytes) const {
        std::uint64_t sum = 0;
        if (__builtin_add_overflow(value, bytes, &sum)) return std::nullopt;
        return Address{sum};
    }
    // Modular addition, for base + member offset where a wrapped address simply does not translate.
    [[nodiscard]] constexpr Address wrap_plus(std::uint64_t bytes) const { return Address{value + bytes}; }
    [[nodiscard]] constexpr Address wrap_minus(std::uint64_t bytes) const { return Address{value - bytes}; }
    [[nodiscard]] constexpr Address align_down(std::uint64_t power_of_two) const {
        return Address{value & ~(power_of_two - 1)};
    }
    [[nodiscard]] constexpr std::uint64_t offset_in(std::uint64_t power_of_two) const {
        return value & (power_of_two - 1);
    }
    [[nodiscard]] constexpr bool is_null() const { return value == 0; }

    friend constexpr auto operator<=>(const Address&, const Address&) = default;
};

using Gpa = Address<struct GpaTag>;  // guest-physical address
using Gva = Address<struct GvaTag>;  // guest-virtual (linear) address

inline constexpr std::uint64_t kPageSize = 4096;

}  // namespace vitrine

template <class Tag>
struct std::hash<vitrine::Address<Tag>> {
    std::size_t operator()(const vitrine::Address<Tag>& a) const noexcept {
        return std::hash<std::uint64_t>{}(a.value);
    }
};
