// A kernel object copied once: all of its members are of one moment, and looking at them costs no further reads.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "vitrine/memory/address_space.h"
#include "vitrine/types/member_need.h"

namespace vitrine::linux_os {

class ObjectCopy {
public:
    // As many of `size` bytes as can be read: members beyond them are absent.
    static ObjectCopy read(const AddressSpace& space, Gva address, std::size_t size) {
        ObjectCopy copy;
        copy.address_ = address;
        copy.bytes_.resize(size);
        const auto got = space.read_prefix(address, copy.bytes_);
        copy.bytes_.resize(got ? *got : 0);
        return copy;
    }

    [[nodiscard]] Gva address() const { return address_; }
    [[nodiscard]] std::size_t size() const { return bytes_.size(); }

    // All: nullopt when the layout lacks the member, or its bytes are not there. `base`: where its structure begins in the object.
    [[nodiscard]] std::optional<std::uint64_t> number(const Members& members, std::size_t member,
                                                      std::size_t base = 0) const {
        const MemberSlot& slot = members.slot(member);
        if (!slot.present || slot.size == 0 || slot.size > 8) return std::nullopt;
        const std::size_t at = base + slot.offset;
        if (at > bytes_.size() || bytes_.size() - at < slot.size) return std::nullopt;
        std::uint64_t value = 0;
        std::memcpy(&value, bytes_.data() + at, slot.size);  // guest and host are little-endian
        if (slot.bit_size == 0) return value;
        value >>= slot.bit_shift;
        return slot.bit_size == 64 ? value : value & ((std::uint64_t{1} << slot.bit_size) - 1);
    }
    // The same, sign-extended from the member's size.
    [[nodiscard]] std::optional<std::int64_t> signed_number(const Members& members, std::size_t member) const {
        const auto value = number(members, member);
        if (!value) return std::nullopt;
        const MemberSlot& slot = members.slot(member);
        const unsigned unused = 64 - (slot.bit_size != 0 ? slot.bit_size : slot.size * 8);
        return static_cast<std::int64_t>(*value << unused) >> unused;
    }
    [[nodiscard]] std::optional<Gva> pointer(const Members& members, std::size_t member) const {
        const auto value = number(members, member);
        return value ? std::optional(Gva{*value}) : std::nullopt;
    }
    // A member's bytes, as many as asked for.
    template <std::size_t size>
    [[nodiscard]] std::optional<std::array<std::byte, size>> bytes(const Members& members, std::size_t member) const {
        const MemberSlot& slot = members.slot(member);
        if (!slot.present || slot.size < size || slot.offset > bytes_.size() || bytes_.size() - slot.offset < size)
            return std::nullopt;
        std::array<std::byte, size> out;
        std::memcpy(out.data(), bytes_.data() + slot.offset, size);
        return out;
    }

private:
    friend class ObjectCopies;
    void prepare(Gva address, std::size_t size) {
        address_ = address;
        bytes_.resize(size);
    }

    Gva address_;
    std::vector<std::byte> bytes_;
};

}  // namespace vitrine::linux_os
