#include "sources/qemu/discovery.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>

#include "sources/host/maps.h"
#include "sources/host/open_files.h"
#include "sources/host/unix_sockets.h"

namespace vitrine {
namespace {

struct CloseDir {
    void operator()(DIR* d) const { ::closedir(d); }
};
using Folder = std::unique_ptr<DIR, CloseDir>;

std::string canonical_path(const std::string& path) {
    const std::unique_ptr<char, decltype(&::free)> resolved(::realpath(path.c_str(), nullptr), &::free);
    return resolved ? std::string(resolved.get()) : path;
}

// Targets of the process's descriptors as /proc shows them; nullopt without permission to list them.
std::optional<std::vector<std::string>> descriptor_targets(const HostProcess& process) {
    const std::string folder_path = process.path("fd");
    const Folder folder(::opendir(folder_path.c_str()));
    if (!folder) return std::nullopt;
    std::vector<std::string> targets;
    while (const dirent* entry = ::readdir(folder.get())) {
        if (auto target = read_link(fmt::format("{}/{}", folder_path, entry->d_name)))
            targets.push_back(std::move(*target));
    }
    return targets;
}

bool has_socket(const HostProcess& process, std::uint64_t inode) {
    const auto targets = descriptor_targets(process);
    return targets && std::any_of(targets->begin(), targets->end(),
                                  [&](const std::string& target) { return socket_inode(target) == inode; });
}

std::string path_of_descriptor(const HostProcess& process, int fd) {
    const auto target = read_link(process.path(fmt::format("fd/{}", fd)));
    const auto inode = target ? socket_inode(*target) : std::nullopt;
    const auto sockets = read_unix_sockets(process);
    if (!inode || !sockets) return {};
    for (const UnixSocket& socket : *sockets) {
        if (socket.inode == *inode && socket.listening) return socket.path;
    }
    return {};
}

}  // namespace

std::optional<QemuProcess> identify_qemu(pid_t pid) {
    const auto words = command_line_of(pid);
    if (!words || words->empty()) return std::nullopt;  // empty: a kernel thread
    // The program itself tells more truly than argv[0], where it may be looked at.
    const auto program = executable_of(pid);
    std::string system = program ? qemu_system_of(*program) : std::string();
    if (system.empty()) system = qemu_system_of(words->front());
    if (system.empty()) return std::nullopt;
    return QemuProcess{pid, std::move(system), parse_qemu_command_line(*words)};
}

std::vector<pid_t> list_processes() {
    std::vector<pid_t> pids;
    const Folder folder(::opendir("/proc"));
    if (!folder) return pids;
    while (const dirent* entry = ::readdir(folder.get())) {
        const auto pid = parse_decimal(entry->d_name);
        if (pid && *pid > 0 && *pid <= (1u << 22)) pids.push_back(static_cast<pid_t>(*pid));  // PID_MAX_LIMIT
    }
    std::sort(pids.begin(), pids.end());
    return pids;
}

std::vector<QemuProcess> find_qemu_processes() {
    std::vector<QemuProcess> found;
    for (const pid_t pid : list_processes()) {
        if (auto qemu = identify_qemu(pid)) found.push_back(std::move(*qemu));
    }
    return found;
}

std::optional<bool> uses_kvm(const HostProcess& process) {
    if (const auto targets = descriptor_targets(process)) {
        return std::find(targets->begin(), targets->end(), "anon_inode:kvm-vm") != targets->end();
    }
    // With CAP_SYS_PTRACE alone the descriptors cannot be listed, but each vCPU's run page is mapped.
    const auto maps = read_maps(process);
    if (!maps) return std::nullopt;
    return std::any_of(maps->begin(), maps->end(),
                       [](const HostMapping& m) { return m.path.starts_with("anon_inode:kvm-vcpu"); });
}

std::string reachable_socket(const HostProcess& process, const QmpSocket& socket) {
    std::string path = socket.path;
    if (path.empty() && socket.fd) path = path_of_descriptor(process, *socket.fd);
    if (path.empty() || path.front() == '@') return path;
    std::string seen = path;
    if (path.front() != '/') seen = process.path("cwd/" + path);
    else if (!process.shares_mount_namespace()) seen = process.path("root" + path);
    struct stat info{};
    return ::stat(seen.c_str(), &info) == 0 && S_ISSOCK(info.st_mode) ? seen : std::string();
}

std::optional<pid_t> find_socket_owner(const std::string& socket_path) {
    struct stat wanted{};
    const bool abstract = socket_path.starts_with('@');
    if (!abstract && ::stat(socket_path.c_str(), &wanted) != 0) return std::nullopt;
    const std::string canonical = abstract ? socket_path : canonical_path(socket_path);
    for (const QemuProcess& qemu : find_qemu_processes()) {
        const pid_t pid = qemu.pid;
        const auto process = HostProcess::open(pid);
        if (!process) continue;
        const auto sockets = read_unix_sockets(*process);
        if (!sockets) continue;
        for (const UnixSocket& s : *sockets) {
            if (!s.listening || !has_socket(*process, s.inode)) continue;
            if (s.path == canonical) return pid;
            // Bound under another name: relative, or in another mount namespace.
            const std::string seen = reachable_socket(*process, {s.path, {}});
            struct stat info{};
            if (seen.empty() || abstract || seen.front() == '@' || ::stat(seen.c_str(), &info) != 0) continue;
            if (info.st_dev == wanted.st_dev && info.st_ino == wanted.st_ino) return pid;
        }
    }
    return std::nullopt;
}

}  // namespace vitrine
