// Copies of many objects of one kind, side by side, to find out what lies where: a member's offset is one at which a
// rule holds for every object.
#pragma once

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "vitrine/memory/address_space.h"

namespace vitrine::linux_os {

class Images {
public:
    Images() = default;
    // The first `span` bytes of each; objects that cannot be read whole are left out.
    Images(const AddressSpace& space, std::span<const Gva> addresses, std::uint32_t span);

    [[nodiscard]] std::size_t count() const { return addresses_.size(); }
    [[nodiscard]] std::uint32_t span() const { return span_; }
    [[nodiscard]] Gva address(std::size_t i) const { return addresses_[i]; }
    [[nodiscard]] std::optional<std::size_t> index_of(Gva address) const;
    [[nodiscard]] bool contains(Gva address) const { return index_of(address).has_value(); }

    // Preconditions: i < count(), offset + width <= span().
    [[nodiscard]] std::uint32_t u32(std::size_t i, std::uint32_t offset) const {
        return load<std::uint32_t>(at(i, offset));
    }
    [[nodiscard]] std::uint64_t u64(std::size_t i, std::uint32_t offset) const {
        return load<std::uint64_t>(at(i, offset));
    }
    [[nodiscard]] Gva pointer(std::size_t i, std::uint32_t offset) const { return Gva{u64(i, offset)}; }
    [[nodiscard]] std::span<const std::byte> bytes(std::size_t i, std::uint32_t offset, std::uint32_t size) const {
        return {at(i, offset), size};
    }

    // Multiples of `step` at which rule(i, offset) holds for every object from `first` on. The rule may read `width` bytes
    // from the offset. Empty when there is no object to judge by.
    template <class Rule>
    [[nodiscard]] std::vector<std::uint32_t> where(std::uint32_t step, std::uint32_t width, Rule&& rule,
                                                   std::size_t first = 0) const {
        std::vector<std::uint32_t> found;
        if (first >= count()) return found;
        for (std::uint32_t offset = 0; offset + width <= span_; offset += step) {
            bool holds = true;
            for (std::size_t i = first; holds && i < count(); ++i) holds = rule(i, offset);
            if (holds) found.push_back(offset);
        }
        return found;
    }
    // Where object i holds this value.
    [[nodiscard]] std::vector<std::uint32_t> hits(std::size_t i, std::uint64_t value) const;

private:
    [[nodiscard]] const std::byte* at(std::size_t i, std::uint32_t offset) const {
        return bytes_.data() + i * span_ + offset;
    }
    std::uint32_t span_ = 0;
    std::vector<Gva> addresses_;
    std::vector<std::byte> bytes_;
    std::vector<std::pair<Gva, std::size_t>> sorted_;
};

// The one element, or nothing when there are none or several: several answers are no answer.
[[nodiscard]] inline std::optional<std::uint32_t> only(const std::vector<std::uint32_t>& found) {
    return found.size() == 1 ? std::optional(found.front()) : std::nullopt;
}

}  // namespace vitrine::linux_os
