// What this host lets us do: the facts behind `vitrine doctor`.
#pragma once

#include <optional>
#include <string>

namespace vitrine::cli {

struct KernelFeature {
    bool works = false;
    std::string why_not;  // the system's error text
};

// Each is tried on this very process.
[[nodiscard]] KernelFeature try_process_vm_readv();
[[nodiscard]] KernelFeature try_pidfd_getfd();
[[nodiscard]] KernelFeature try_kvm();  // /dev/kvm opens and answers

[[nodiscard]] bool has_capability_ptrace();     // CAP_SYS_PTRACE is effective
[[nodiscard]] std::optional<int> yama_scope();  // nullopt: no Yama

struct CacheState {
    std::string directory;
    bool writable = false;
    std::string why_not;
};
[[nodiscard]] CacheState look_at_cache(const std::string& wanted);

}  // namespace vitrine::cli
