#include "sources/host/open_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

namespace vitrine {
namespace {

constexpr int kMaxFds = 1 << 16;

struct CloseDir {
    void operator()(DIR* d) const { ::closedir(d); }
};

std::optional<std::vector<int>> fd_numbers(const HostProcess& process) {
    const std::unique_ptr<DIR, CloseDir> folder(::opendir(process.path("fd").c_str()));
    if (!folder) return std::nullopt;
    std::vector<int> numbers;
    while (const dirent* entry = ::readdir(folder.get())) {
        const auto number = parse_decimal(entry->d_name);
        if (number && *number < kMaxFds) numbers.push_back(static_cast<int>(*number));
    }
    std::sort(numbers.begin(), numbers.end());
    return numbers;
}

// How many slots the descriptor table has: FDSize in /proc/PID/status, which anyone may read.
int descriptor_slots(const HostProcess& process) {
    constexpr std::string_view kLabel = "\nFDSize:\t";
    const auto status = read_whole_file(process.path("status"), 64 * 1024);
    if (!status) return 1024;
    const std::size_t at = status->find(kLabel);
    if (at == std::string::npos) return 1024;
    const std::size_t begin = at + kLabel.size();
    const auto slots = parse_decimal(std::string_view(*status).substr(begin, status->find('\n', begin) - begin));
    return slots ? static_cast<int>(std::min<std::uint64_t>(*slots, kMaxFds)) : 1024;
}

UniqueFd duplicate(const HostProcess& process, int number) {
    return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_getfd, process.pidfd(), number, 0)));
}

std::string own_fd_path(int fd) { return fmt::format("/proc/self/fd/{}", fd); }

bool is_the_file(int fd, const HostMapping& mapping) {
    struct stat info{};
    if (::fstat(fd, &info) != 0 || info.st_ino != mapping.inode) return false;
    if (major(info.st_dev) == mapping.device_major && minor(info.st_dev) == mapping.device_minor) return true;
    // Filesystems with several devices behind one mount (btrfs) show another number in maps: there the name decides.
    const auto target = read_link(own_fd_path(fd));
    return target && *target == mapping.path;
}

// Our own, read-only description of the same file, so that nothing this program does can write to the guest.
UniqueFd reopen_for_reading(UniqueFd fd) {
    UniqueFd fresh(::open(own_fd_path(fd.get()).c_str(), O_RDONLY | O_CLOEXEC));
    return fresh ? std::move(fresh) : std::move(fd);
}

}  // namespace

Result<std::vector<OpenFile>> list_open_files(const HostProcess& process) {
    std::vector<OpenFile> files;
    if (const auto numbers = fd_numbers(process)) {
        for (const int number : *numbers) {
            if (auto target = read_link(process.path(fmt::format("fd/{}", number))))
                files.push_back({number, std::move(*target)});
        }
        return files;
    }
    const int slots = descriptor_slots(process);
    for (int number = 0; number < slots; ++number) {
        const UniqueFd fd = duplicate(process, number);
        if (!fd && (errno == EPERM || errno == ENOSYS || errno == ESRCH))
            return process_error(process.pid(), errno, "looking at the open files of");
        if (!fd) continue;
        if (auto target = read_link(own_fd_path(fd.get()))) files.push_back({number, std::move(*target)});
    }
    return files;
}

Result<UniqueFd> open_mapped_file(const HostProcess& process, const HostMapping& mapping) {
    const auto open_link = [&](const std::string& link) {
        struct stat info{};
        // stat before open: opening a device or a pipe of another process may have effects.
        if (::stat(link.c_str(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_ino != mapping.inode)
            return UniqueFd();
        UniqueFd fd(::open(link.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
        return fd && is_the_file(fd.get(), mapping) ? std::move(fd) : UniqueFd();
    };
    if (UniqueFd fd = open_link(process.path(fmt::format("map_files/{:x}-{:x}", mapping.start, mapping.end))))
        return fd;
    if (const auto numbers = fd_numbers(process)) {
        for (const int number : *numbers) {
            if (UniqueFd fd = open_link(process.path(fmt::format("fd/{}", number)))) return fd;
        }
    }
    const int slots = descriptor_slots(process);
    for (int number = 0; number < slots; ++number) {
        UniqueFd fd = duplicate(process, number);
        if (!fd && errno == EPERM) return process_error(process.pid(), EPERM, "taking the memory file of");
        if (fd && is_the_file(fd.get(), mapping)) return reopen_for_reading(std::move(fd));
    }
    return Error::with_text(
        Errc::not_found, Origin::source,
        fmt::format("process {} maps '{}' but keeps it open under no descriptor", process.pid(), mapping.path),
        "CAP_CHECKPOINT_RESTORE (or root) opens it through /proc/PID/map_files");
}

}  // namespace vitrine
