// What the running kernel says of itself: its command line, host name, clock, processors, memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "vitrine/guest/linux_guest.h"
#include "vitrine/types/member_need.h"

namespace vitrine::linux_os {

extern const NeedGroup kKernelMembers;

// nullopt: unknown.
struct KernelFacts {
    std::optional<std::string> command_line;  // saved_command_line: any bytes
    std::optional<std::string> hostname;      // of the initial uts namespace
    std::optional<std::string> domainname;
    std::optional<std::int64_t> boot_time;  // nanoseconds since 1970 UTC
    std::optional<std::uint64_t> uptime;    // nanoseconds, suspension included
    std::optional<std::uint32_t> cpus_online;
    std::optional<std::uint64_t> total_pages;
    std::optional<std::uint64_t> taints;
};

KernelFacts read_kernel_facts(LinuxGuest& guest);

}  // namespace vitrine::linux_os
