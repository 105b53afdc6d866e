// What keeps this process from looking into another one (ptrace(2), "Ptrace access mode checking").
#pragma once

#include <optional>
#include <string>

namespace vitrine {

struct TraceRights {
    bool has_capability = false;      // CAP_SYS_PTRACE is effective
    std::optional<int> yama_scope{};  // kernel.yama.ptrace_scope; nullopt: no Yama
    bool is_filtered = false;         // a seccomp filter is in force on us
    bool in_user_namespace = false;   // our capabilities hold for it alone
    std::string confinement{};  // the profile of a security module (AppArmor, SELinux) that confines us; empty: none
};

// Of this process, now.
TraceRights own_trace_rights();

struct Obstacle {
    std::string what;  // "CAP_SYS_PTRACE is missing"
    std::string mend;
};
// Why an access was refused with this error (EPERM, EACCES or ENOSYS). Only what is known to be so is said.
Obstacle trace_obstacle(const TraceRights& rights, int error_number);

}  // namespace vitrine
