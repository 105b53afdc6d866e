// Checked access to bytes that came from a guest or a file. Everything is little-endian, as x86 is.
//
//   ByteView view(blob);
//   auto magic = view.u16(0);              // std::optional: nullopt past the end
//   auto part  = view.sub(offset, length); // std::optional<ByteView>: overflow-safe
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

namespace vitrine {

static_assert(std::endian::native == std::endian::little, "the host must be little-endian");

// Types that may be copied out of guest bytes: plain integers only. No bool, enum or pointer, because a guest can
// give those representations that are undefined behaviour to hold.
template <class T>
concept GuestScalar = std::integral<T> && !std::same_as<std::remove_cv_t<T>, bool>;

class ByteView {
public:
    constexpr ByteView() = default;
    constexpr ByteView(std::span<const std::byte> bytes) : bytes_(bytes) {}

    [[nodiscard]] constexpr std::size_t size() const { return bytes_.size(); }
    [[nodiscard]] constexpr std::span<const std::byte> span() const { return bytes_; }

    template <GuestScalar T>
    [[nodiscard]] std::optional<T> get(std::uint64_t offset) const {
        if (offset > bytes_.size() || bytes_.size() - offset < sizeof(T)) return std::nullopt;
        T value;
        std::memcpy(&value, bytes_.data() + offset, sizeof(T));
        return value;
    }
    [[nodiscard]] std::optional<std::uint8_t> u8(std::uint64_t o) const { return get<std::uint8_t>(o); }
    [[nodiscard]] std::optional<std::uint16_t> u16(std::uint64_t o) const { return get<std::uint16_t>(o); }
    [[nodiscard]] std::optional<std::uint32_t> u32(std::uint64_t o) const { return get<std::uint32_t>(o); }
    [[nodiscard]] std::optional<std::uint64_t> u64(std::uint64_t o) const { return get<std::uint64_t>(o); }

    [[nodiscard]] std::optional<ByteView> sub(std::uint64_t offset, std::uint64_t length) const {
        if (offset > bytes_.size() || bytes_.size() - offset < length) return std::nullopt;
        return ByteView(bytes_.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(length)));
    }
    // The bytes from offset up to (not including) the first NUL, at most max of them. nullopt when offset is past the
    // end or no NUL is found within max bytes or before the end.
    [[nodiscard]] std::optional<std::string_view> c_string(std::uint64_t offset, std::size_t max) const {
        if (offset >= bytes_.size()) return std::nullopt;
        const std::size_t left = bytes_.size() - static_cast<std::size_t>(offset);
        const std::size_t look = left < max ? left : max;
        const auto* begin = reinterpret_cast<const char*>(bytes_.data() + offset);
        const void* nul = std::memchr(begin, 0, look);
        if (nul == nullptr) return std::nullopt;
        return std::string_view(begin, static_cast<std::size_t>(static_cast<const char*>(nul) - begin));
    }

private:
    std::span<const std::byte> bytes_;
};

template <GuestScalar T>
[[nodiscard]] inline T load(const std::byte* from) {  // caller guarantees sizeof(T) readable bytes
    T value;
    std::memcpy(&value, from, sizeof(T));
    return value;
}

}  // namespace vitrine
