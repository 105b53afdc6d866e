// The guest's wall clock, from the kernel's timekeeper.
#pragma once

#include <cstdint>
#include <optional>

#include "vitrine/guest/linux_guest.h"

namespace vitrine::linux_os {

// Nanoseconds since the epoch at the guest's boot: what must be added to a start_boottime. nullopt when the kernel's timekeeper is
// not found, or says something impossible.
[[nodiscard]] std::optional<std::int64_t> boot_time(const LinuxGuest& guest);

// The kernel's struct timekeeper; nullopt when it is not found.
[[nodiscard]] std::optional<Gva> timekeeper(const LinuxGuest& guest);

}  // namespace vitrine::linux_os
