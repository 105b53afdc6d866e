#include "app/host.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>

namespace vitrine::cli {
namespace {

KernelFeature from_errno() { return {false, std::strerror(errno)}; }

std::string first_line(const char* path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

}  // namespace

KernelFeature try_process_vm_readv() {
    char from = 'x';
    char to = 0;
    iovec remote{&from, 1};
    iovec local{&to, 1};
    if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != 1) return from_errno();
    return {to == from, to == from ? "" : "it returned wrong bytes"};
}

KernelFeature try_pidfd_getfd() {
    int pipe_ends[2];
    if (pipe2(pipe_ends, O_CLOEXEC) != 0) return from_errno();
    KernelFeature feature{true, {}};
    const auto pidfd = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
    const int copy = pidfd < 0 ? -1 : static_cast<int>(syscall(SYS_pidfd_getfd, pidfd, pipe_ends[0], 0));
    if (copy < 0) feature = from_errno();
    for (const int fd : {copy, pidfd, pipe_ends[0], pipe_ends[1]}) {
        if (fd >= 0) close(fd);
    }
    return feature;
}

KernelFeature try_kvm() {
    const int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (fd < 0) return from_errno();
    const int version = ioctl(fd, KVM_GET_API_VERSION, 0);
    KernelFeature feature{version == KVM_API_VERSION, {}};
    if (!feature.works) feature.why_not = "it does not answer as KVM does";
    close(fd);
    return feature;
}

bool has_capability_ptrace() {
    constexpr unsigned kCapSysPtrace = 19;  // include/uapi/linux/capability.h
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (!line.starts_with("CapEff:\t")) continue;
        std::uint64_t mask = 0;
        std::from_chars(line.data() + 8, line.data() + line.size(), mask, 16);
        return (mask >> kCapSysPtrace & 1) != 0;
    }
    return false;
}

std::optional<int> yama_scope() {
    const std::string line = first_line("/proc/sys/kernel/yama/ptrace_scope");
    int scope = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), scope);
    if (line.empty() || error != std::errc() || end != line.data() + line.size()) return std::nullopt;
    return scope;
}

CacheState look_at_cache(const std::string& wanted) {
    CacheState state;
    state.directory = wanted;
    if (wanted.empty()) {
        const char* base = std::getenv("XDG_CACHE_HOME");
        const char* home = std::getenv("HOME");
        if (base != nullptr && *base != '\0') state.directory = std::string(base) + "/vitrine";
        else if (home != nullptr && *home != '\0') state.directory = std::string(home) + "/.cache/vitrine";
    }
    if (state.directory.empty()) {
        state.why_not = "neither XDG_CACHE_HOME nor HOME is set";
        return state;
    }
    // It is made on first use: what counts is the nearest directory that is there.
    std::string at = state.directory;
    while (at.size() > 1 && access(at.c_str(), F_OK) != 0) {
        const auto slash = at.rfind('/');
        at = slash == std::string::npos ? "." : slash == 0 ? "/" : at.substr(0, slash);
        if (at == ".") break;
    }
    state.writable = access(at.c_str(), W_OK | X_OK) == 0;
    if (!state.writable) state.why_not = std::strerror(errno);
    return state;
}

}  // namespace vitrine::cli
