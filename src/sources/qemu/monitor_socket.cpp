#include "sources/qemu/monitor_socket.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <thread>

#include "sources/host/unix_sockets.h"
#include "sources/qemu/discovery.h"

namespace vitrine {
namespace {

using namespace std::chrono_literals;

// An exchange by QMP takes a millisecond or two.
constexpr auto kShortExchange = 50ms;
constexpr auto kLookAgain = 5ms;

std::string canonical_path(const std::string& path) {
    const std::unique_ptr<char, decltype(&::free)> resolved(::realpath(path.c_str(), nullptr), &::free);
    return resolved ? std::string(resolved.get()) : path;
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

// One socket, by whatever name: a listener that was bound under `bound` in its process, and a path of ours.
class WantedSocket {
public:
    explicit WantedSocket(const std::string& path)
        : path_(path), canonical_(is_abstract() ? path : canonical_path(path)) {
        found_ = is_abstract() || ::stat(path.c_str(), &info_) == 0;
    }
    [[nodiscard]] bool exists() const { return found_; }
    [[nodiscard]] bool is(const HostProcess& process, const std::string& bound) const {
        if (bound.empty()) return false;
        if (bound == path_ || bound == canonical_) return true;
        // Bound under another name: relative, or in another mount namespace.
        const std::string seen = reachable_socket(process, {bound, {}});
        struct stat info{};
        if (seen.empty() || is_abstract() || seen.front() == '@' || ::stat(seen.c_str(), &info) != 0) return false;
        return info.st_dev == info_.st_dev && info.st_ino == info_.st_ino;
    }

private:
    [[nodiscard]] bool is_abstract() const { return path_.starts_with('@'); }

    std::string path_;
    std::string canonical_;
    struct stat info_{};
    bool found_ = false;
};

// Who connected: SO_PEERCRED of QEMU's end, through a copy of its descriptor that is closed at once.
void identify(const HostProcess& process, int number, SocketClient& client) {
    const UniqueFd copy(static_cast<int>(::syscall(SYS_pidfd_getfd, process.pidfd(), number, 0)));
    ucred peer{};
    socklen_t size = sizeof(peer);
    if (!copy || ::getsockopt(copy.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid <= 0) return;
    client.pid = peer.pid;
    const auto program = executable_of(peer.pid);
    const auto ours = executable_of(::getpid());
    client.is_vitrine = program && ours && *program == *ours;
    if (const auto holder = HostProcess::open(peer.pid)) client.program = holder->command_name();
}

}  // namespace

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

std::vector<std::string> find_qmp_sockets(const HostProcess& process, const QemuCommandLine& line,
                                          const std::vector<std::string>& words) {
    std::vector<std::string> paths;
    const auto add = [&](const std::string& path) {
        if (!path.empty() && std::find(paths.begin(), paths.end(), path) == paths.end()) paths.push_back(path);
    };
    for (const QmpSocket& socket : line.qmp_sockets) add(reachable_socket(process, socket));
    if (!line.qmp_sockets.empty()) return paths;
    for (const OwnSocket& own : own_unix_sockets(process)) {
        // What is on the command line in another place is a display, a serial port, the human monitor.
        const std::string& name = own.socket.path;
        const std::string shown = name.starts_with('@') ? name.substr(1) : name;
        const bool is_named = std::any_of(
            words.begin(), words.end(), [&](const std::string& word) { return word.find(shown) != std::string::npos; });
        const auto& fds = line.chardev_fds;
        const bool handed_over = std::find(fds.begin(), fds.end(), own.number) != fds.end();
        if (own.socket.listening && !shown.empty() && !is_named && !handed_over)
            add(reachable_socket(process, {name, {}}));
    }
    return paths;
}

std::optional<pid_t> find_socket_owner(const std::string& socket_path) {
    const WantedSocket wanted(socket_path);
    if (!wanted.exists()) return std::nullopt;
    for (const QemuProcess& qemu : find_qemu_processes()) {
        const auto process = HostProcess::open(qemu.pid);
        if (!process) continue;
        for (const OwnSocket& own : own_unix_sockets(*process)) {
            if (own.socket.listening && wanted.is(*process, own.socket.path)) return qemu.pid;
        }
    }
    return std::nullopt;
}

std::optional<SocketClient> find_socket_client(const HostProcess& process, const std::string& socket_path) {
    const WantedSocket wanted(socket_path);
    if (!wanted.exists()) return std::nullopt;
    for (const OwnSocket& own : own_unix_sockets(process)) {
        // An accepted connection carries the name of its listener (unix_stream_connect() in net/unix/af_unix.c).
        if (!own.socket.connected || !wanted.is(process, own.socket.path)) continue;
        SocketClient client{own.socket.inode, -1, {}, false};
        identify(process, own.number, client);
        return client;
    }
    return std::nullopt;
}

std::optional<SocketClient> find_lasting_client(const HostProcess& process, const std::string& socket_path) {
    const auto give_up = std::chrono::steady_clock::now() + kShortExchange;
    auto client = find_socket_client(process, socket_path);
    while (client) {
        // It lets go soon, and the next in the queue is served: worth waiting for like any busy monitor.
        if (client->is_vitrine) return std::nullopt;
        if (std::chrono::steady_clock::now() >= give_up) return client;
        std::this_thread::sleep_for(kLookAgain);
        auto next = find_socket_client(process, socket_path);
        if (next && next->connection != client->connection)
            return std::nullopt;  // short questions, one after the other
        client = std::move(next);
    }
    return std::nullopt;
}

std::string to_string(const SocketClient& client) {
    if (client.pid <= 0) return "a process that cannot be told";
    return client.program.empty() ? fmt::format("process {}", client.pid)
                                  : fmt::format("process {} ({})", client.pid, client.program);
}

}  // namespace vitrine
