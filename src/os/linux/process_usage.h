// What a process has used: processor time, disk transfers, memory that stays; and the control group it is in. All of it
// from members that no process list needs, looked up in the guest's own types.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "vitrine/guest/linux_guest.h"
#include "vitrine/types/member_need.h"

namespace vitrine::linux_os {

extern const NeedGroup kUsageMembers;

struct CpuTime {
    std::uint64_t user = 0, system = 0;  // nanoseconds, as /proc/PID/stat gives them
};

// nullopt: the kernel keeps no such account, or it cannot be read.
struct ProcessTotals {
    std::optional<CpuTime> time;
    std::optional<std::uint64_t> bytes_read;    // fetched from storage for it
    std::optional<std::int64_t> bytes_written;  // sent to storage for it, without what was cancelled
};

class ProcessUsage {
public:
    // `members`: kUsageMembers resolved. Both outlive the object.
    ProcessUsage(LinuxGuest& guest, const Members& members) : guest_(guest), members_(members) {}

    // Of all threads, ended ones too, with this signal_struct.
    [[nodiscard]] ProcessTotals totals(Gva signal, WalkBudget budget) const;
    // Pages that mlock() keeps in memory.
    [[nodiscard]] std::optional<std::uint64_t> locked_pages(Gva mm) const;
    // In the unified hierarchy, from its root on: "/system.slice/cron.service"; any bytes.
    [[nodiscard]] std::optional<std::string> control_group(Gva task) const;

private:
    LinuxGuest& guest_;
    const Members& members_;
};

}  // namespace vitrine::linux_os
