#include "os/linux/member_reader.h"

#include <cstring>

namespace vitrine::linux_os {

std::optional<Gva> MemberReader::pointer(Gva object, std::size_t member) const {
    if (!members_.has(member)) return std::nullopt;
    const auto value = space_.read_pointer(address(object, member));
    return value ? std::optional(*value) : std::nullopt;
}

std::optional<Gva> MemberReader::target(Gva object, std::size_t member) const {
    const auto value = pointer(object, member);
    return value && !value->is_null() ? value : std::nullopt;
}

std::optional<std::uint64_t> MemberReader::number(Gva object, std::size_t member) const {
    const MemberSlot& slot = members_.slot(member);
    if (!slot.present || slot.size == 0 || slot.size > 8) return std::nullopt;
    std::array<std::byte, 8> bytes{};
    if (!space_.read(address(object, member), std::span(bytes).first(slot.size))) return std::nullopt;
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data(), sizeof value);  // guest and host are little-endian
    if (slot.bit_size == 0) return value;
    value >>= slot.bit_shift;
    return slot.bit_size == 64 ? value : value & ((std::uint64_t{1} << slot.bit_size) - 1);
}

std::optional<std::int64_t> MemberReader::signed_number(Gva object, std::size_t member) const {
    const auto value = number(object, member);
    if (!value) return std::nullopt;
    const MemberSlot& slot = members_.slot(member);
    const unsigned bits = slot.bit_size != 0 ? slot.bit_size : slot.size * 8;
    const unsigned unused = 64 - bits;
    return static_cast<std::int64_t>(*value << unused) >> unused;
}

std::optional<std::string> MemberReader::text(Gva object, std::size_t member) const {
    constexpr std::size_t kLongest = 4096;
    if (!members_.has(member)) return std::nullopt;
    std::string bytes(std::min<std::size_t>(members_.slot(member).size, kLongest), '\0');
    if (!space_.read(address(object, member), std::as_writable_bytes(std::span(bytes)))) return std::nullopt;
    bytes.resize(std::min(bytes.find('\0'), bytes.size()));
    return bytes;
}

}  // namespace vitrine::linux_os
