#include "os/linux/recover/images.h"

namespace vitrine::linux_os {

Images::Images(const AddressSpace& space, std::span<const Gva> addresses, std::uint32_t span) : span_(span) {
    bytes_.resize(addresses.size() * span);
    for (const Gva address : addresses) {
        const std::span<std::byte> out(bytes_.data() + addresses_.size() * span, span);
        if (!space.read(address, out)) continue;
        sorted_.emplace_back(address, addresses_.size());
        addresses_.push_back(address);
    }
    std::sort(sorted_.begin(), sorted_.end());
}

std::optional<std::size_t> Images::index_of(Gva address) const {
    const auto it = std::lower_bound(sorted_.begin(), sorted_.end(), std::pair(address, std::size_t{0}));
    if (it == sorted_.end() || it->first != address) return std::nullopt;
    return it->second;
}

std::vector<std::uint32_t> Images::hits(std::size_t i, std::uint64_t value) const {
    std::vector<std::uint32_t> found;
    for (std::uint32_t offset = 0; i < count() && offset + 8 <= span_; offset += 8) {
        if (u64(i, offset) == value) found.push_back(offset);
    }
    return found;
}

}  // namespace vitrine::linux_os
