// Reads memory of another process: process_vm_readv(2) for batches, /proc/PID/mem for single small reads, where it costs
// a third less. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/unique_fd.h"
#include "sources/host/process.h"
#include "vitrine/base/result.h"

namespace vitrine {

struct ProcessReadOp {
    std::uint64_t address = 0;  // in the other process
    std::span<std::byte> out;
    bool ok = false;
};

class ProcessMemory {
public:
    // The process outlives this object.
    explicit ProcessMemory(const HostProcess& process);

    // Each op has its own outcome; false: the process has nothing mapped there. Errors: permission, stale (it ended; bytes
    // that were read before are not to be used).
    Result<void> read(std::span<ProcessReadOp> ops) const;

private:
    // How many ops one call took care of.
    Result<std::size_t> read_some(std::span<ProcessReadOp> ops) const;

    const HostProcess& process_;
    UniqueFd mem_;
};

}  // namespace vitrine
