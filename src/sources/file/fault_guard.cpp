#include "sources/file/fault_guard.h"

#include <sys/mman.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <mutex>
#include <utility>

namespace vitrine {
namespace {

// A slot is taken by `used`, filled, and becomes visible to the handler with `base`.
struct Slot {
    std::atomic<bool> used{false};
    std::atomic<std::uintptr_t> base{0};  // 0: not in force
    std::atomic<std::uintptr_t> size{0};
    std::atomic<std::uintptr_t> granule{0};
    std::atomic<std::atomic<std::uint32_t>*> tainted{nullptr};
};

constinit std::array<Slot, 1024> slots;
struct sigaction previous;  // written once, before our handler is in force
std::once_flag installed;

// Only async-signal-safe work: atomics and one mmap system call.
bool replace_page(std::uintptr_t address) {
    for (Slot& slot : slots) {
        const std::uintptr_t base = slot.base.load(std::memory_order_acquire);
        if (base == 0 || address - base >= slot.size.load(std::memory_order_relaxed)) continue;
        // First the flag, then the zeros: whoever copies the zeros finds the flag set.
        slot.tainted.load(std::memory_order_relaxed)->store(1, std::memory_order_seq_cst);
        const std::uintptr_t granule = slot.granule.load(std::memory_order_relaxed);
        const std::uintptr_t page = base + (address - base) / granule * granule;
        void* at = reinterpret_cast<void*>(page);
        return mmap(at, granule, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == at;
    }
    return false;
}

void on_sigbus(int signal, siginfo_t* info, void* context) {
    const int saved = errno;
    // si_code > 0: sent by the kernel for a fault; anyone may send the signal with an address of his choice otherwise.
    const bool mended = info->si_code > 0 && replace_page(reinterpret_cast<std::uintptr_t>(info->si_addr));
    errno = saved;
    if (mended) return;
    if ((previous.sa_flags & SA_SIGINFO) != 0) {
        previous.sa_sigaction(signal, info, context);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(signal);
    } else if (previous.sa_handler == SIG_DFL || info->si_code > 0) {
        // Ends the process as it would have ended without us, when the instruction is tried again.
        struct sigaction fallback = {};
        fallback.sa_handler = SIG_DFL;
        sigaction(SIGBUS, &fallback, nullptr);
        if (info->si_code <= 0) raise(SIGBUS);
    }
}

void install() {
    struct sigaction action = {};
    action.sa_sigaction = on_sigbus;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, nullptr, &previous);
    sigaction(SIGBUS, &action, nullptr);
}

}  // namespace

FaultGuard::FaultGuard(std::byte* base, std::size_t size, std::size_t granule, std::atomic<std::uint32_t>& tainted) {
    std::call_once(installed, install);
    for (std::size_t i = 0; i < slots.size(); ++i) {
        Slot& slot = slots[i];
        if (slot.used.exchange(true, std::memory_order_acquire)) continue;
        slot.size.store(size, std::memory_order_relaxed);
        slot.granule.store(granule, std::memory_order_relaxed);
        slot.tainted.store(&tainted, std::memory_order_relaxed);
        slot.base.store(reinterpret_cast<std::uintptr_t>(base), std::memory_order_release);
        slot_ = static_cast<int>(i);
        return;
    }
}

FaultGuard::FaultGuard(FaultGuard&& other) noexcept : slot_(std::exchange(other.slot_, -1)) {}

FaultGuard& FaultGuard::operator=(FaultGuard&& other) noexcept {
    if (this != &other) std::swap(slot_, other.slot_);
    return *this;
}

FaultGuard::~FaultGuard() {
    if (slot_ < 0) return;
    Slot& slot = slots[static_cast<std::size_t>(slot_)];
    slot.base.store(0, std::memory_order_release);
    slot.used.store(false, std::memory_order_release);
}

}  // namespace vitrine
