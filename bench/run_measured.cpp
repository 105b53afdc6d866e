// Runs a command with its output thrown away and prints what it took, as one line of JSON. Small itself: the peak resident memory
// that wait4 tells of a child begins with that of the process it was forked from.
//
//   run_measured [--private] COMMAND [ARGUMENT...]
//
// --private: also the most anonymous memory (RssAnon) that was seen, looking each half millisecond. The kernel keeps no peak of it, and
// looking costs time: not for runs whose time is taken.

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

long anonymous_kib(pid_t pid) {
    char path[64];
    std::snprintf(path, sizeof(path), "/proc/%d/status", pid);
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    char text[4096];
    const ssize_t n = read(file, text, sizeof(text) - 1);
    close(file);
    if (n <= 0) return 0;
    text[n] = '\0';
    const char* found = std::strstr(text, "\nRssAnon:");
    return found == nullptr ? 0 : std::strtol(found + 9, nullptr, 10);
}

// Until the process ends.
long watch_anonymous(pid_t pid) {
    const int handle = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
    long most = 0;
    pollfd ended{handle, POLLIN, 0};
    const timespec interval{0, 500'000};
    while (handle >= 0 && ppoll(&ended, 1, &interval, nullptr) == 0) {
        const long now = anonymous_kib(pid);
        if (now > most) most = now;
    }
    if (handle >= 0) close(handle);
    return most;
}

// In a frame of its own, which the child shares until it runs the command.
[[gnu::noinline]] pid_t start(char** command) {
    const pid_t child = vfork();
    if (child != 0) return child;
    const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null >= 0) dup2(null, STDOUT_FILENO);
    execvp(command[0], command);
    _exit(127);
}

}  // namespace

int main(int argc, char** argv) {
    const bool looks = argc > 1 && std::strcmp(argv[1], "--private") == 0;
    char** const command = argv + (looks ? 2 : 1);
    if (argc < (looks ? 3 : 2)) return 2;
    const auto begin = std::chrono::steady_clock::now();
    const pid_t child = start(command);
    if (child < 0) return 2;
    const long most_private = looks ? watch_anonymous(child) : 0;
    int status = 0;
    rusage usage{};
    while (wait4(child, &status, 0, &usage) < 0) {
        if (errno != EINTR) return 2;
    }
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - begin;
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    std::printf("{\"wall_s\": %.6f, \"cpu_s\": %.6f, \"peak_kib\": %ld, \"private_kib\": %ld, \"status\": %d}\n",
                wall.count(), seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_maxrss, most_private,
                WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return 0;
}
