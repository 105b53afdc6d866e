// The kernel's addresses, read from the machine itself: what a running guest has there now, whatever was read before.
#pragma once

#include <optional>

#include "vitrine/guest/linux_guest.h"
#include "vitrine/memory/address_space.h"

namespace vitrine::linux_os {

// None for an image, which does not change. The guest outlives it.
[[nodiscard]] inline std::optional<AddressSpace> past_caches(const LinuxGuest& guest) {
    if (!guest.machine().is_live()) return std::nullopt;
    return AddressSpace(guest.machine().memory(), guest.space().mode(), guest.space().root());
}

}  // namespace vitrine::linux_os
