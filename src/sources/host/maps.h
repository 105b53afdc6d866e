// The mappings of a process, as /proc/PID/maps lists them (Documentation/filesystems/proc.rst).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sources/host/process.h"
#include "vitrine/base/result.h"

namespace vitrine {

struct HostMapping {
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    bool readable = false, writable = false, executable = false, shared = false;
    std::uint64_t file_offset = 0;
    std::uint32_t device_major = 0, device_minor = 0;
    std::uint64_t inode = 0;  // 0: anonymous
    std::string path;         // as shown, e.g. "/memfd:ram (deleted)"; empty: anonymous

    [[nodiscard]] std::uint64_t size() const { return end - start; }
    [[nodiscard]] bool is_file() const { return inode != 0; }
    friend bool operator==(const HostMapping&, const HostMapping&) = default;
};

// Sorted by start, disjoint. A text that is not so is Errc::malformed.
Result<std::vector<HostMapping>> parse_maps(std::string_view text);
// Errors: permission (CAP_SYS_PTRACE), stale.
Result<std::vector<HostMapping>> read_maps(const HostProcess& process);
// Only those that hold a part of these places (or all, where the kernel cannot be asked for single ones: before 6.11, and then with their
// paths). In microseconds where reading all takes hundreds.
Result<std::vector<HostMapping>> read_maps_at(const HostProcess& process, std::span<const HostMapping> places);

// Neighbours that continue each other, in address and, for files, in offset, joined into one.
std::vector<HostMapping> join_mappings(const std::vector<HostMapping>& maps);

}  // namespace vitrine
