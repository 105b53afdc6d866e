// What an object holds: numbers, enumerators, text.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>

#include "vitrine/types/object.h"

namespace vitrine {
namespace {

bool holds_number(TypeKind kind) {
    return kind == TypeKind::integer || kind == TypeKind::enumeration || kind == TypeKind::pointer;
}

std::uint64_t low_bits(std::uint64_t value, std::uint64_t bits) {
    return bits >= 64 ? value : value & ((std::uint64_t{1} << bits) - 1);
}

}  // namespace

Result<void> Object::read(std::span<std::byte> out) const {
    switch (place_) {
        case Place::guest: return space_->read(address_, out);
        case Place::copy: {
            const auto part = ByteView(*copy_).sub(copy_offset_, out.size());
            if (!part) return failed(Errc::out_of_range, "it lies outside the copy that was taken");
            std::ranges::copy(part->span(), out.begin());
            return {};
        }
        case Place::value:
            if (out.size() > sizeof value_) break;
            std::memcpy(out.data(), &value_, out.size());
            return {};
        case Place::nowhere: break;
    }
    return failed(Errc::usage, fmt::format("a value of type '{}' has no {} bytes", type_name(), out.size()));
}

// Zero-extended. A bit-field of 64 bits that does not begin with a byte lies in nine of them.
Result<std::uint64_t> Object::bits() const {
    const auto bytes = size();
    if (!holds_number(kind()) || !bytes || *bytes > 8 || *bytes == 0 || bit_size_ > 64) {
        return failed(Errc::usage, fmt::format("'{}' holds no number of at most 8 bytes", type_name()));
    }
    const std::uint64_t width = bit_size_ != 0 ? bit_size_ : *bytes * 8;
    if (place_ == Place::value) return low_bits(value_, width);
    std::array<std::byte, 9> raw{};
    VITRINE_CHECK(read(std::span(raw).first(static_cast<std::size_t>((bit_shift_ + width + 7) / 8))));
    const auto low = load<std::uint64_t>(raw.data());
    if (bit_shift_ == 0) return low_bits(low, width);
    const auto high = std::to_integer<std::uint64_t>(raw[8]);
    return low_bits(low >> bit_shift_ | high << (64 - bit_shift_), width);
}

Result<std::uint64_t> Object::as_unsigned() const { return bits(); }

Result<std::int64_t> Object::as_signed() const {
    const std::uint64_t value = VITRINE_TRY(bits());
    const std::uint64_t width = bit_size_ != 0 ? bit_size_ : size().value_or(8) * 8;
    if (holds_signed()) {
        const auto unused = static_cast<unsigned>(64 - width);
        return static_cast<std::int64_t>(value << unused) >> unused;
    }
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return failed(Errc::out_of_range, fmt::format("{:#x} does not fit into 63 bits", value));
    }
    return static_cast<std::int64_t>(value);
}

Result<bool> Object::as_boolean() const { return VITRINE_TRY(bits()) != 0; }

Result<Gva> Object::as_address() const {
    if (types_ != nullptr && (size() != types_->pointer_size() || bit_size_ != 0)) {
        return failed(Errc::usage, fmt::format("'{}' holds no address", type_name()));
    }
    return Gva{VITRINE_TRY(bits())};
}

Result<double> Object::as_real() const {
    const auto bytes = size();
    if (kind() == TypeKind::floating && bytes == std::uint64_t{4}) {
        std::array<std::byte, 4> raw{};
        VITRINE_CHECK(read(raw));
        return static_cast<double>(std::bit_cast<float>(raw));
    }
    if (kind() == TypeKind::floating && bytes == std::uint64_t{8}) {
        std::array<std::byte, 8> raw{};
        VITRINE_CHECK(read(raw));
        return std::bit_cast<double>(raw);
    }
    return failed(Errc::usage, fmt::format("'{}' holds no real number of 4 or 8 bytes", type_name()));
}

Result<std::optional<std::string_view>> Object::as_enumerator() const {
    if (kind() != TypeKind::enumeration) return failed(Errc::usage, fmt::format("'{}' is no enumeration", type_name()));
    const std::uint64_t value = VITRINE_TRY(bits());
    // Compared in the width of the object: BTF may give -1 as 4294967295.
    const std::uint64_t width = bit_size_ != 0 ? bit_size_ : size().value_or(8) * 8;
    for (const Enumerator& e : types_->enumerators(stripped())) {
        if (low_bits(static_cast<std::uint64_t>(e.value), width) == value) return std::optional(types_->name(e.name));
    }
    return std::optional<std::string_view>();
}

Result<GuestString> Object::string_in_copy(std::size_t size) const {
    if (copy_offset_ > copy_->size()) return failed(Errc::out_of_range, "it lies outside the copy that was taken");
    const std::size_t left = copy_->size() - static_cast<std::size_t>(copy_offset_);
    const auto* begin = reinterpret_cast<const char*>(copy_->data() + copy_offset_);
    const std::string_view bytes(begin, std::min(left, size));
    const std::size_t end = std::min(bytes.find('\0'), bytes.size());
    return GuestString{std::string(bytes.substr(0, end)), end == bytes.size()};
}

Result<GuestString> Object::as_string(std::size_t max) const {
    const TypeKind of = kind();
    if (of != TypeKind::array && of != TypeKind::pointer) {
        return failed(Errc::usage, fmt::format("'{}' is no text", type_name()));
    }
    const Object element = target();
    const bool is_void = element.kind() == TypeKind::void_;
    const bool is_character = element.kind() == TypeKind::integer && element.size() == std::uint64_t{1};
    if (!is_character && !(of == TypeKind::pointer && is_void)) {
        return failed(Errc::usage, fmt::format("'{}' is no text: it is not made of single bytes", type_name()));
    }
    if (of == TypeKind::pointer) {
        const Object text = VITRINE_TRY(deref());
        return space_->read_c_string(text.address_, max);
    }
    if (place_ != Place::guest && place_ != Place::copy)
        return failed(Errc::usage, "a value that lies nowhere is no text");
    // A flexible array ends with its NUL.
    const std::size_t count = stripped().count;
    const std::size_t size = count == 0 ? max : std::min(count, max);
    GuestString text = place_ == Place::copy ? VITRINE_TRY(string_in_copy(size))
                                             : VITRINE_TRY(space_->read_c_string(address_, size));
    if (count != 0 && text.bytes.size() == count) text.truncated = false;
    return text;
}

Result<std::string> Object::as_text() const {
    GuestString text = VITRINE_TRY(as_string(kMaxText));
    if (text.truncated)
        return failed(Errc::limit, fmt::format("no end of the text within {} bytes", text.bytes.size()));
    return std::move(text.bytes);
}

}  // namespace vitrine
