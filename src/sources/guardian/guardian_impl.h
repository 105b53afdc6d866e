// The owner's side of a guardian: its process, the memory that is shared with it, and one request at a time.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <mutex>
#include <vector>

#include "base/unique_fd.h"
#include "sources/guardian/guardian.h"
#include "sources/guardian/protocol.h"
#include "sources/guardian/vcpu_threads.h"
#include "sources/host/process.h"

namespace vitrine {

class Mapping {
public:
    Mapping() = default;
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    ~Mapping() {
        if (address_ != nullptr) ::munmap(address_, size_);
    }
    bool map(std::size_t size, int flags) {
        void* got = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (got == MAP_FAILED) return false;
        address_ = got;
        size_ = size;
        return true;
    }
    [[nodiscard]] void* get() const { return address_; }
    [[nodiscard]] std::byte* bytes() const { return static_cast<std::byte*>(address_); }

private:
    void* address_ = nullptr;
    std::size_t size_ = 0;
};

struct Guardian::Impl {
    explicit Impl(GuardianTarget t);
    ~Impl() { end(); }

    Result<void> check_alive() const;
    Result<void> start();
    Result<guardian::Reply> ask(guardian::Op op, std::size_t length);
    Result<guardian::Reply> ask_monitor(guardian::Op op, std::size_t length);
    Result<std::vector<guardian::VcpuRecord>> ask_vcpus(const std::vector<guardian::VcpuFile>& files,
                                                        const std::vector<pid_t>& threads,
                                                        const std::vector<std::uint32_t>& msrs, guardian::Status* worst,
                                                        int* sys_errno);
    std::vector<pid_t> candidate_threads(bool all);
    void remember(const std::vector<guardian::VcpuRecord>& records);
    Result<void> continue_without_guardian();
    void end();

    GuardianTarget target;
    UniqueFd monitor_pidfd;  // from construction on: the pid cannot be taken over by another process unnoticed
    std::mutex mutex;        // one request at a time
    Mapping arena;
    Mapping process_memory;
    UniqueFd socket;
    pid_t child = -1;
    std::uint32_t sequence = 0;
    bool holds_qmp = false;
    bool holds_freeze = false;
    bool was_running = false;
    std::atomic<bool> socket_is_held = false;
    std::vector<pid_t> vcpu_threads;  // that were seen in KVM_RUN
    std::vector<guardian::VcpuFile> vcpu_files;
    Windows windows;
};

}  // namespace vitrine
