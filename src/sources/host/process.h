// A process of this host, seen through /proc and held by a pidfd, so that a reused pid is never taken for it.
//
//   HostProcess process = VITRINE_TRY(HostProcess::open(1234));
//   auto maps = VITRINE_TRY(read_maps(process));
//   ...
//   VITRINE_CHECK(process.check_alive());   // stale when it ended
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "vitrine/base/result.h"

namespace vitrine {

// The whole of a file in /proc (whose size is not known beforehand), at most `max` bytes; longer is Errc::limit.
Result<std::string> read_whole_file(const std::string& path, std::size_t max);
// The target of a symbolic link; nullopt when it cannot be read.
std::optional<std::string> read_link(const std::string& path);
// The error for a failed look into a process, by errno: not_found, permission and unsupported (with what is in the way and its
// mend), stale or io.
Error process_error(pid_t pid, int error_number, std::string_view doing);
// Decimal, whole text; nullopt on anything else or when it does not fit.
std::optional<std::uint64_t> parse_decimal(std::string_view text);
std::optional<std::uint64_t> parse_hex(std::string_view text);

// Of any process; nothing holds the pid meanwhile.
Result<std::vector<std::string>> command_line_of(pid_t pid);
// The program's path; nullopt without permission to look. A replaced program's " (deleted)" is taken off.
std::optional<std::string> executable_of(pid_t pid);

class HostProcess {
public:
    // Errors: not_found, unsupported (a kernel before 5.3 has no pidfd_open).
    static Result<HostProcess> open(pid_t pid);

    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] int pidfd() const { return pidfd_.get(); }
    // One system call. Errc::stale when the process has ended.
    Result<void> check_alive() const;
    // The same of a process that has begun to end: it has no memory any more, so no command line and no mappings, but is not yet dead.
    // A kernel thread, which never has any, is not ending.
    Result<void> check_not_ending() const;

    [[nodiscard]] std::string path(std::string_view name) const;  // /proc/PID/name
    [[nodiscard]] std::string command_name() const;               // comm; empty when it cannot be read
    // Does it see the same files under the same names as this process? True when that cannot be found out.
    [[nodiscard]] bool shares_mount_namespace() const;

private:
    HostProcess(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}

    pid_t pid_ = -1;
    UniqueFd
        pidfd_;  // stays with this very process: what /proc/PID shows is its own as long as check_alive() succeeds after
};

}  // namespace vitrine
