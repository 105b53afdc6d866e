#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>

#include "sources/host/maps.h"
#include "sources/host/process.h"
#include "sources/host/trace_rights.h"
#include "sources/qemu/backing.h"
#include "sources/qemu/discovery.h"
#include "sources/qemu/libvirt.h"
#include "sources/qemu/memory_plan.h"
#include "sources/qemu/monitor_socket.h"
#include "vitrine/machine/machine.h"

namespace vitrine {
namespace {

std::string backing_of(const QemuCommandLine& line, const std::vector<HostMapping>& maps) {
    const auto plan = plan_from_command_line(line, maps);
    if (!plan) return {};
    for (const HostMapping& m : maps) {
        if (m.start <= plan->blocks.front().host_start && plan->blocks.front().host_start < m.end)
            return describe_mapping(m);
    }
    return {};
}

// Can its memory be reached? Fills state, hint and backend.
void judge(MachineListing& row, const HostProcess& process, const QemuCommandLine* line) {
    const auto maps = read_maps(process);
    if (maps) {
        row.state = "accessible";
        if (line != nullptr) row.backend = backing_of(*line, *maps);
    } else if (maps.error().code == Errc::permission) {
        Obstacle obstacle = trace_obstacle(own_trace_rights(), EACCES);
        row.state = "no permission: " + obstacle.what;
        row.hint = std::move(obstacle.mend);
    } else {
        row.state = maps.error().to_string();
    }
}

// The folder says who libvirt started; where it may not be read, the command line shows libvirt's hand.
std::string domain_of(const QemuProcess& qemu, const std::map<pid_t, std::string>& domains) {
    const auto found = domains.find(qemu.pid);
    if (found != domains.end()) return found->second;
    return qemu.line.by_libvirt ? qemu.line.name : std::string();
}

MachineListing row_for(const HostProcess& process, const QemuProcess& qemu, bool name_is_unique) {
    MachineListing row;
    // A name of digits only would be taken for a process id.
    const bool by_name = name_is_unique && !qemu.line.name.empty() && !parse_decimal(qemu.line.name);
    row.target = by_name ? "qemu:" + qemu.line.name : fmt::format("qemu:{}", qemu.pid);
    row.name = qemu.line.name;
    row.pid = qemu.pid;
    row.kind = "QEMU";
    const auto kvm = uses_kvm(process);
    row.accelerator = kvm ? (*kvm ? "kvm" : "tcg") : qemu.line.accelerator;
    if (qemu.line.size_is_known) row.memory_bytes = qemu.line.memory_size;
    if (qemu.line.vcpus_are_known) row.vcpus = qemu.line.vcpus;
    for (const std::string& path : find_qmp_sockets(process, qemu.line, qemu.words)) {
        if (row.qmp_socket.empty() && !qemu.line.qmp_sockets.empty()) row.qmp_socket = path;
        row.qmp_targets.push_back("qmp:" + path);
    }
    if (qemu.is_x86()) {
        judge(row, process, &qemu.line);
    } else {
        row.state = fmt::format("not supported: emulates '{}'", qemu.system);
        row.hint = "only x86-64 guests can be looked into";
    }
    return row;
}

MachineListing row_for_kvm(const HostProcess& process) {
    MachineListing row;
    row.target = fmt::format("kvm:{}", process.pid());
    row.name = process.command_name();
    row.pid = process.pid();
    row.kind = "KVM monitor";
    row.accelerator = "kvm";
    judge(row, process, nullptr);
    return row;
}

}  // namespace

Result<std::vector<MachineListing>> list_machines() {
    std::vector<MachineListing> rows;
    std::vector<std::pair<HostProcess, QemuProcess>> qemus;
    std::map<std::string, int> names;
    const std::vector<pid_t> pids = list_processes();
    if (pids.empty())
        return Error::with_text(Errc::io, Origin::source, "/proc cannot be read", "mount it: mount -t proc proc /proc");
    for (const pid_t pid : pids) {
        auto process = HostProcess::open(pid);
        if (!process) continue;
        if (auto qemu = identify_qemu(pid)) {
            ++names[qemu->line.name];
            qemus.emplace_back(std::move(*process), std::move(*qemu));
        } else if (uses_kvm(*process) == true) {
            rows.push_back(row_for_kvm(*process));
        }
    }
    std::vector<MachineListing> first;
    const auto domains = qemus.empty() ? std::map<pid_t, std::string>() : find_libvirt_domains();
    for (const auto& [process, qemu] : qemus) {
        first.push_back(row_for(process, qemu, names[qemu.line.name] == 1));
        first.back().libvirt_domain = domain_of(qemu, domains);
    }
    rows.insert(rows.begin(), std::make_move_iterator(first.begin()), std::make_move_iterator(first.end()));
    return rows;
}

}  // namespace vitrine
