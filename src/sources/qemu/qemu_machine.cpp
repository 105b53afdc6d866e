#include "sources/qemu/qemu_machine.h"

#include <fmt/format.h>

#include <optional>
#include <utility>
#include <vector>

#include "sources/host/process.h"
#include "sources/qemu/discovery.h"
#include "sources/qemu/monitor_socket.h"
#include "sources/qemu/opening.h"
#include "sources/qmp/qmp_client.h"

namespace vitrine {
namespace {

Result<std::unique_ptr<Machine>> not_qemu(const HostProcess& process) {
    const bool kvm = uses_kvm(process).value_or(false);
    return Error::with_text(
        Errc::usage, Origin::user,
        fmt::format("process {} is '{}', not a QEMU system emulator", process.pid(), process.command_name()),
        kvm ? fmt::format("it runs a KVM machine: give kvm:{}", process.pid())
            : "'vitrine list' shows the machines on this host");
}

std::string label(const QemuProcess& qemu) {
    return qemu.line.name.empty() ? fmt::format("qemu:{}", qemu.pid)
                                  : fmt::format("qemu:{} (process {})", qemu.line.name, qemu.pid);
}

Result<QemuProcess> find_by_name(const std::string& name) {
    const std::vector<QemuProcess> all = find_qemu_processes();
    std::vector<const QemuProcess*> named;
    std::string others;
    for (const QemuProcess& qemu : all) {
        if (qemu.line.name == name) named.push_back(&qemu);
        others += (others.empty() ? "" : ", ") + label(qemu);
    }
    if (named.size() == 1) return *named.front();
    if (named.empty()) {
        return Error::with_text(Errc::not_found, Origin::user, fmt::format("no QEMU guest is named '{}'", name),
                                others.empty() ? "no QEMU runs on this host" : "running: " + others);
    }
    std::string pids;
    for (const QemuProcess* qemu : named) pids += (pids.empty() ? "qemu:" : ", qemu:") + std::to_string(qemu->pid);
    return Error::with_text(Errc::ambiguous, Origin::user,
                            fmt::format("{} guests are named '{}': {}", named.size(), name, pids),
                            "give the process id");
}

Result<std::unique_ptr<Machine>> open_qemu(pid_t pid, const OpenOptions& options, const std::string& socket,
                                           const std::optional<std::string>& name = {}) {
    const auto process = std::make_shared<const HostProcess>(VITRINE_TRY(HostProcess::open(pid)));
    auto qemu = identify_qemu(pid);
    // Before the process was held, its id may have passed to another than the one whose name was looked at.
    if (name && (!qemu || qemu->line.name != *name)) {
        return Error::with_text(Errc::stale, Origin::source,
                                fmt::format("process {} is not the guest '{}' any more", pid, *name), "try again");
    }
    auto machine = qemu ? open_qemu_process(process, std::move(*qemu), options, socket) : not_qemu(*process);
    // One that ends has no command line and no mappings any more: whatever else was found wrong comes from that.
    if (!machine) VITRINE_CHECK(process->check_not_ending());
    return machine;
}

}  // namespace

Result<std::unique_ptr<Machine>> open_qemu_named(pid_t pid, const std::string& name, const OpenOptions& options) {
    return open_qemu(pid, options, {}, name);
}

Result<std::unique_ptr<Machine>> open_qemu_by_text(const std::string& text, const OpenOptions& options) {
    const auto number = parse_decimal(text);
    if (!number) return open_qemu_named(VITRINE_TRY(find_by_name(text)).pid, text, options);
    const pid_t pid = *number <= (1u << 22) ? static_cast<pid_t>(*number) : -1;
    auto machine = open_qemu(pid, options, {});
    // A guest may be named "1234".
    const bool no_qemu = !machine && (machine.error().code == Errc::not_found || machine.error().code == Errc::usage);
    if (!no_qemu) return machine;
    const auto named = find_by_name(text);
    if (!named && named.error().code == Errc::not_found) return machine;
    if (!named) return named.error();
    return open_qemu_named(named->pid, text, options);
}

Result<std::unique_ptr<Machine>> open_qemu_by_socket(const std::string& socket, const OpenOptions& options) {
    if (const auto owner = find_socket_owner(socket)) return open_qemu(*owner, options, socket);
    // Not seen in /proc: ask the socket itself who listens.
    std::int32_t peer = -1;
    {
        const auto qmp = VITRINE_TRY(QmpClient::connect(socket, options.qmp_timeout));
        peer = qmp->peer_pid();
    }
    if (peer <= 0) {
        return Error::with_text(Errc::not_found, Origin::source,
                                fmt::format("the process behind '{}' cannot be found", socket), "give qemu:PID");
    }
    return open_qemu(peer, options, socket);
}

}  // namespace vitrine
