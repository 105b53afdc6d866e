#include "shell/history.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

namespace vitrine::cli {
namespace {

std::string state_directory() {
    // XDG: a path that is not absolute is to be ignored.
    const char* state = std::getenv("XDG_STATE_HOME");
    if (state != nullptr && *state == '/') return state;
    const char* home = std::getenv("HOME");
    return home != nullptr && *home == '/' ? std::string(home) + "/.local/state" : std::string();
}

// All folders on the way, for the owner alone.
void make_folders(const std::string& path) {
    for (auto slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
        mkdir(path.substr(0, slash).c_str(), 0700);
    }
}

}  // namespace

std::string prepare_history_file() {
    const std::string directory = state_directory();
    if (directory.empty()) return {};
    const std::string path = directory + "/vitrine/history";
    make_folders(path);
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return {};
    const bool is_private = fchmod(fd, 0600) == 0;
    close(fd);
    return is_private ? path : std::string();
}

}  // namespace vitrine::cli
