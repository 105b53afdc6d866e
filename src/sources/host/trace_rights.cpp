#include "sources/host/trace_rights.h"

#include <fmt/format.h>

#include <cerrno>
#include <string_view>

#include "sources/host/process.h"

namespace vitrine {
namespace {

constexpr unsigned kCapSysPtrace = 19;       // include/uapi/linux/capability.h
constexpr std::uint64_t kSeccompFilter = 2;  // SECCOMP_MODE_FILTER

std::string read_text(const char* path) {
    auto text = read_whole_file(path, 64 * 1024);
    if (!text) return {};
    while (!text->empty() && (text->back() == '\n' || text->back() == '\0')) text->pop_back();
    return std::move(*text);
}

std::string_view field(std::string_view status, std::string_view label) {
    const std::size_t at = status.find(label);
    if (at == std::string_view::npos) return {};
    status.remove_prefix(at + label.size());
    return status.substr(0, status.find('\n'));
}

// All ids map to themselves: the first user namespace (user_namespaces(7)).
bool is_first_user_namespace(std::string_view map) {
    std::string words;
    for (const char c : map) {
        if (c != ' ') words += c;
        else if (!words.empty() && words.back() != ' ') words += ' ';
    }
    return words.empty() || words == "0 0 4294967295";
}

// What to do where the privilege is missing.
std::string_view ptrace_hint() {
    return "run as root, as the user that runs the monitor, or with CAP_SYS_PTRACE (setcap cap_sys_ptrace+ep on this "
           "program)";
}

}  // namespace

TraceRights own_trace_rights() {
    TraceRights rights;
    const std::string status = read_text("/proc/self/status");
    const auto capabilities = parse_hex(field(status, "\nCapEff:\t"));
    rights.has_capability = capabilities && (*capabilities >> kCapSysPtrace & 1) != 0;
    rights.is_filtered = parse_decimal(field(status, "\nSeccomp:\t")) == kSeccompFilter;
    if (const auto scope = parse_decimal(read_text("/proc/sys/kernel/yama/ptrace_scope")); scope && *scope <= 3)
        rights.yama_scope = static_cast<int>(*scope);
    rights.in_user_namespace = !is_first_user_namespace(read_text("/proc/self/uid_map"));
    const std::string profile = read_text("/proc/self/attr/current");
    if (profile != "unconfined" && profile.find("unconfined_t") == std::string::npos) rights.confinement = profile;
    return rights;
}

Obstacle trace_obstacle(const TraceRights& rights, int error_number) {
    const std::string_view filter_mend = "allow ptrace and process_vm_readv in the container's seccomp profile";
    if (error_number == ENOSYS) {
        if (rights.is_filtered) return {"a seccomp filter on this program forbids it", std::string(filter_mend)};
        return {"this kernel cannot do it", "it takes Linux 5.6 or later with CONFIG_CROSS_MEMORY_ATTACH"};
    }
    if (rights.yama_scope == 3) {
        return {"kernel.yama.ptrace_scope is 3, which forbids it to everyone",
                "it can only be lowered by a reboot: set kernel.yama.ptrace_scope=1 in /etc/sysctl.d"};
    }
    if (!rights.has_capability) {
        std::string what = "CAP_SYS_PTRACE is missing";
        if (rights.yama_scope.value_or(0) != 0) {
            what += fmt::format(", and kernel.yama.ptrace_scope {} asks for it even within one user",
                                *rights.yama_scope);
        }
        return {std::move(what), std::string(ptrace_hint())};
    }
    if (rights.in_user_namespace) {
        return {"CAP_SYS_PTRACE is held in this user namespace only, and the process is outside of it",
                "run it outside of the container, or start that without a user namespace of its own"};
    }
    if (rights.is_filtered) {
        return {"CAP_SYS_PTRACE is held, but a seccomp filter is in force on this program", std::string(filter_mend)};
    }
    if (!rights.confinement.empty()) {
        return {fmt::format("CAP_SYS_PTRACE is held, but a security module confines this program ('{}')",
                            rights.confinement),
                "allow ptrace in that profile, or run unconfined"};
    }
    return {"CAP_SYS_PTRACE is held, but the kernel refuses all the same",
            "the kernel's log may say which security module"};
}

}  // namespace vitrine
