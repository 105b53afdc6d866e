#include "sources/host/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "sources/host/trace_rights.h"

namespace vitrine {
namespace {

constexpr std::size_t kMaxCommandLine = 4u << 20;  // ARG_MAX is 2 MiB by default; the kernel's bound is 6 MiB

template <int Base>
std::optional<std::uint64_t> parse_number(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, Base);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::string ended_text(pid_t pid) { return fmt::format("process {} has ended", pid); }

// proc(5), /proc/PID/stat: behind the name, which may hold anything, the state and as seventh the flags (include/linux/sched.h).
bool is_ending(std::string_view stat) {
    constexpr std::uint64_t kExiting = 4;  // PF_EXITING
    const std::size_t name_end = stat.rfind(") ");
    if (name_end == std::string_view::npos) return false;
    stat.remove_prefix(name_end + 2);
    if (!stat.empty() && (stat.front() == 'Z' || stat.front() == 'X')) return true;
    for (int field = 0; field < 6; ++field) {
        const std::size_t blank = stat.find(' ');
        if (blank == std::string_view::npos) return false;
        stat.remove_prefix(blank + 1);
    }
    const auto flags = parse_number<10>(stat.substr(0, stat.find(' ')));
    return flags && (*flags & kExiting) != 0;
}

}  // namespace

std::optional<std::uint64_t> parse_decimal(std::string_view text) { return parse_number<10>(text); }
std::optional<std::uint64_t> parse_hex(std::string_view text) { return parse_number<16>(text); }

Error process_error(pid_t pid, int error_number, std::string_view doing) {
    const std::string text = fmt::format("{} process {}: {}", doing, pid, std::strerror(error_number));
    switch (error_number) {
        case ESRCH:
        case ENOENT:
            return Error::with_text(Errc::not_found, Origin::source, fmt::format("there is no process {}", pid),
                                    "'vitrine list' shows the machines on this host");
        case EACCES:
        case EPERM:
        case ENOSYS: {
            Obstacle obstacle = trace_obstacle(own_trace_rights(), error_number);
            return Error::with_text(error_number == ENOSYS ? Errc::unsupported : Errc::permission, Origin::source,
                                    text + ": " + obstacle.what, std::move(obstacle.mend));
        }
        default: return Error::with_text(Errc::io, Origin::source, text);
    }
}

Result<std::string> read_whole_file(const std::string& path, std::size_t max) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd) {
        const Errc code = errno == EACCES || errno == EPERM   ? Errc::permission
                          : errno == ENOENT || errno == ESRCH ? Errc::not_found
                                                              : Errc::io;
        return Error::with_text(code, Origin::source, fmt::format("reading {}: {}", path, std::strerror(errno)));
    }
    std::string text;
    std::array<char, 64 * 1024> piece;
    for (;;) {
        const ssize_t n = ::read(fd.get(), piece.data(), piece.size());
        if (n == 0) return text;
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            const Errc code = errno == EACCES || errno == EPERM ? Errc::permission
                              : errno == ESRCH                  ? Errc::not_found
                                                                : Errc::io;
            return Error::with_text(code, Origin::source, fmt::format("reading {}: {}", path, std::strerror(errno)));
        }
        if (text.size() + static_cast<std::size_t>(n) > max)
            return Error::make(Errc::limit, Origin::source, "reading /proc");
        text.append(piece.data(), static_cast<std::size_t>(n));
    }
}

std::optional<std::string> read_link(const std::string& path) {
    std::array<char, 4096> target;
    const ssize_t n = ::readlink(path.c_str(), target.data(), target.size());
    if (n < 0) return std::nullopt;
    return std::string(target.data(), static_cast<std::size_t>(n));
}

Result<HostProcess> HostProcess::open(pid_t pid) {
    if (pid <= 0) return process_error(pid, ESRCH, "opening");
    // glibc 2.36 has pidfd_open, older ones do not: the system call is the same everywhere.
    UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd) {
        if (errno == ENOSYS) {
            return Error::with_text(Errc::unsupported, Origin::source, "this kernel has no pidfd_open(2) (Linux 5.3)");
        }
        // EINVAL: a thread's id, not a process's.
        return process_error(pid, errno == EINVAL ? ESRCH : errno, "opening");
    }
    HostProcess process(pid, std::move(pidfd));
    if (!process.check_alive()) return Error::with_text(Errc::not_found, Origin::source, ended_text(pid));  // a zombie
    return process;
}

Result<void> HostProcess::check_alive() const {
    pollfd entry{pidfd_.get(), POLLIN, 0};
    for (;;) {
        const int n = ::poll(&entry, 1, 0);
        if (n == 0) return {};
        if (n < 0 && errno == EINTR) continue;
        return Error::with_text(Errc::stale, Origin::source, ended_text(pid_));
    }
}

Result<void> HostProcess::check_not_ending() const {
    VITRINE_CHECK(check_alive());
    const auto stat = read_whole_file(path("stat"), 4096);
    if (stat && !is_ending(*stat)) return {};
    if (!stat && stat.error().code != Errc::not_found) return {};
    return Error::with_text(Errc::stale, Origin::source, ended_text(pid_));
}

std::string HostProcess::path(std::string_view name) const { return fmt::format("/proc/{}/{}", pid_, name); }

Result<std::vector<std::string>> command_line_of(pid_t pid) {
    const std::string text = VITRINE_TRY(read_whole_file(fmt::format("/proc/{}/cmdline", pid), kMaxCommandLine));
    std::vector<std::string> words;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\0', at), text.size());
        words.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return words;
}

std::optional<std::string> executable_of(pid_t pid) {
    auto target = read_link(fmt::format("/proc/{}/exe", pid));
    constexpr std::string_view kDeleted = " (deleted)";
    if (target && target->ends_with(kDeleted)) target->resize(target->size() - kDeleted.size());
    return target;
}

std::string HostProcess::command_name() const {
    auto name = read_whole_file(path("comm"), 256);
    if (!name) return {};
    while (!name->empty() && name->back() == '\n') name->pop_back();
    return *name;
}

bool HostProcess::shares_mount_namespace() const {
    const auto theirs = read_link(path("ns/mnt"));
    const auto ours = read_link("/proc/self/ns/mnt");
    return !theirs || !ours || *theirs == *ours;
}

}  // namespace vitrine
