#include "sources/qemu/discovery.h"

#include <dirent.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "sources/host/maps.h"

namespace vitrine {
namespace {

struct CloseDir {
    void operator()(DIR* d) const { ::closedir(d); }
};
using Folder = std::unique_ptr<DIR, CloseDir>;

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

}  // namespace

std::optional<QemuProcess> identify_qemu(pid_t pid) {
    auto words = command_line_of(pid);
    if (!words || words->empty()) return std::nullopt;  // empty: a kernel thread
    // The program itself tells more truly than argv[0], where it may be looked at.
    const auto program = executable_of(pid);
    std::string system = program ? qemu_system_of(*program) : std::string();
    if (system.empty()) system = qemu_system_of(words->front());
    if (system.empty()) return std::nullopt;
    QemuCommandLine line = parse_qemu_command_line(*words);
    return QemuProcess{pid, std::move(system), std::move(line), std::move(*words)};
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

}  // namespace vitrine
