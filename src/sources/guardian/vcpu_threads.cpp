#include "sources/guardian/vcpu_threads.h"

#include <dirent.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "sources/host/open_files.h"
#include "sources/host/process.h"

namespace vitrine::guardian {

namespace {

constexpr std::size_t kMaxProcFile = 16 * 1024;
// include/linux/sched.h: PF_KTHREAD, PF_IO_WORKER, PF_USER_WORKER. The last one took over vhost threads in Linux 6.4 and
// is the same for kvm-nx-lpage-recovery since 6.14.
constexpr std::uint64_t kWorkerFlags = 0x0020'0000u | 0x10u | 0x4000u;

struct CloseFolder {
    void operator()(DIR* folder) const { ::closedir(folder); }
};

// /proc/PID/task/TID/stat: "tid (comm) state ppid pgrp session tty tpgid flags ..."; comm may contain anything.
bool is_kernel_worker(pid_t pid, pid_t tid) {
    const auto stat = read_whole_file(fmt::format("/proc/{}/task/{}/stat", pid, tid), kMaxProcFile);
    if (!stat) return true;  // gone: nothing to stop
    const std::string_view text(*stat);
    const std::size_t open = text.find('(');
    const std::size_t close = text.rfind(')');
    if (open == std::string_view::npos || close == std::string_view::npos || close < open) return true;
    const std::string_view name = text.substr(open + 1, close - open - 1);
    if (name.starts_with("kvm-") || name.starts_with("vhost-")) return true;
    std::string_view rest = text.substr(close + 1);
    std::string_view field;
    for (int i = 0; i < 7; ++i) {
        rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
        const std::size_t end = std::min(rest.find(' '), rest.size());
        field = rest.substr(0, end);
        rest.remove_prefix(end);
    }
    const auto flags = parse_decimal(field);
    return !flags || (*flags & kWorkerFlags) != 0;
}

}  // namespace

Result<std::vector<VcpuFile>> find_vcpu_files(pid_t pid) {
    const HostProcess process = VITRINE_TRY(HostProcess::open(pid));
    const std::vector<OpenFile> files = VITRINE_TRY(list_open_files(process));
    constexpr std::string_view kName = "anon_inode:kvm-vcpu:";
    std::vector<VcpuFile> found;
    for (const OpenFile& file : files) {
        if (!std::string_view(file.target).starts_with(kName) || found.size() == kMaxVcpus) continue;
        const auto id = parse_decimal(std::string_view(file.target).substr(kName.size()));
        if (id && *id <= 0xffff'ffffu) found.push_back({file.number, static_cast<std::uint32_t>(*id)});
    }
    if (found.empty()) {
        return Error::with_text(Errc::not_found, Origin::source,
                                fmt::format("process {} has no vCPU of KVM open", pid));
    }
    std::sort(found.begin(), found.end(), [](const VcpuFile& a, const VcpuFile& b) { return a.id < b.id; });
    return found;
}

Result<std::vector<pid_t>> list_threads(pid_t pid) {
    const std::unique_ptr<DIR, CloseFolder> folder(::opendir(fmt::format("/proc/{}/task", pid).c_str()));
    if (!folder) return process_error(pid, errno, "listing the threads");
    std::vector<pid_t> threads;
    while (const dirent* entry = ::readdir(folder.get())) {
        const auto tid = parse_decimal(entry->d_name);
        if (!tid || *tid > 0x7fff'ffffu) continue;
        if (threads.size() == kMaxThreads) return Error::make(Errc::limit, Origin::source, "threads of the monitor");
        if (!is_kernel_worker(pid, static_cast<pid_t>(*tid))) threads.push_back(static_cast<pid_t>(*tid));
    }
    return threads;
}

bool may_be_in_kvm_run(pid_t pid, pid_t tid) {
    const auto syscall = read_whole_file(fmt::format("/proc/{}/task/{}/syscall", pid, tid), kMaxProcFile);
    if (syscall) {
        // "running", or "16 0xfd 0xae80 ..." when the guest's processor is halted.
        const std::string_view text(*syscall);
        if (text.starts_with("running")) return true;
        return text.starts_with("16 0x") && text.find(" 0xae80 ") != std::string_view::npos;
    }
    // Readable by the owner only; the name of the kernel function it sleeps in is open to all who may trace.
    const auto waiting = read_whole_file(fmt::format("/proc/{}/task/{}/wchan", pid, tid), kMaxProcFile);
    return !waiting || *waiting == "0" || waiting->find("kvm") != std::string::npos;
}

}  // namespace vitrine::guardian
