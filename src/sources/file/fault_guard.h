// Keeps the process alive when a mapped file loses pages under a reader: truncated, unreadable on its disk, or poisoned.
//
// The kernel then sends SIGBUS to the thread that touches the page. While a FaultGuard stands, the process's SIGBUS handler
// puts zeros in the page's place and sets the mapping's `tainted` flag, which every reader looks at after copying; so a
// read costs one load more and no signal mask or jump buffer. A SIGBUS anywhere else goes to the handler that was there
// before. (A signal handler belongs to the process: this is the one place in the library with process-wide state. A
// program that replaces the handler later loses the guard, not the chain.)
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace vitrine {

class FaultGuard {
public:
    FaultGuard() = default;
    // Guards [base, base + size); pages are replaced in pieces of `granule` bytes (4 KiB, or the size of a huge page).
    // tainted outlives the guard. is_active() is false when too many guards stand already: do not map then.
    FaultGuard(std::byte* base, std::size_t size, std::size_t granule, std::atomic<std::uint32_t>& tainted);
    FaultGuard(FaultGuard&& other) noexcept;
    FaultGuard& operator=(FaultGuard&& other) noexcept;
    FaultGuard(const FaultGuard&) = delete;
    FaultGuard& operator=(const FaultGuard&) = delete;
    ~FaultGuard();

    [[nodiscard]] bool is_active() const { return slot_ >= 0; }

private:
    int slot_ = -1;
};

}  // namespace vitrine
