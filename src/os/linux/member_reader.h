// Reads resolved members of kernel objects.
//
//   const MemberReader read(guest.space(), *members);
//   const auto fdt = read.pointer(files, kFdt);          // std::optional<Gva>
//   const auto max = read.number(*fdt, kMaxFds);         // by the member's own size
#pragma once

#include <optional>
#include <string>

#include "vitrine/memory/address_space.h"
#include "vitrine/types/member_need.h"

namespace vitrine::linux_os {

class MemberReader {
public:
    // Both outlive the reader.
    MemberReader(const AddressSpace& space, const Members& members) : space_(space), members_(members) {}

    [[nodiscard]] const AddressSpace& space() const { return space_; }
    [[nodiscard]] const Members& members() const { return members_; }
    [[nodiscard]] bool has(std::size_t member) const { return members_.has(member); }
    // Where the member of this object lies. Precondition: has(member).
    [[nodiscard]] Gva address(Gva object, std::size_t member) const { return object.wrap_plus(members_.at(member)); }

    // All: nullopt when the layout lacks the member, or it cannot be read. A null pointer is a value.
    [[nodiscard]] std::optional<Gva> pointer(Gva object, std::size_t member) const;
    // Not null.
    [[nodiscard]] std::optional<Gva> target(Gva object, std::size_t member) const;
    // Integers of 1, 2, 4 or 8 bytes, zero-extended; of bit-fields the field.
    [[nodiscard]] std::optional<std::uint64_t> number(Gva object, std::size_t member) const;
    // The same, sign-extended from the member's size.
    [[nodiscard]] std::optional<std::int64_t> signed_number(Gva object, std::size_t member) const;
    // A char array's bytes up to its NUL; any bytes.
    [[nodiscard]] std::optional<std::string> text(Gva object, std::size_t member) const;

private:
    const AddressSpace& space_;
    const Members& members_;
};

}  // namespace vitrine::linux_os
