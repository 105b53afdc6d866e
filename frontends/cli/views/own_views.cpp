// The user's folder of views. Its files are read each time the program starts: they are small and few.
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "views/view_command.h"

namespace vitrine::cli {
namespace {

constexpr std::size_t kMostFiles = 256;
constexpr std::size_t kMostBytes = 64 * 1024 + 1;  // one more than a view may have

// The file's bytes, or why not. Nothing that could make the program wait is opened.
tl::expected<std::string, std::string> read_file(const std::string& path) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return tl::make_unexpected(std::string(std::strerror(errno)));
    struct stat status{};
    std::string text;
    std::string why;
    if (fstat(fd, &status) != 0) why = std::strerror(errno);
    else if (!S_ISREG(status.st_mode)) why = "is no file";
    while (why.empty() && text.size() < kMostBytes) {
        char buffer[4096];
        const ssize_t got = read(fd, buffer, std::min(sizeof(buffer), kMostBytes - text.size()));
        if (got == 0) break;
        if (got < 0 && errno != EINTR) why = std::strerror(errno);
        if (got > 0) text.append(buffer, static_cast<std::size_t>(got));
    }
    close(fd);
    if (!why.empty()) return tl::make_unexpected(std::move(why));
    return text;
}

bool is_built_in(std::string_view name) { return find_command(name) != nullptr; }

std::string_view environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? std::string_view() : std::string_view(value);
}

}  // namespace

std::string OwnViews::default_folder() {
    // As the XDG base directory specification has it: a path that is not absolute is as none.
    if (const auto config = environment("XDG_CONFIG_HOME"); config.starts_with('/'))
        return std::string(config) + "/vitrine/views";
    const auto home = environment("HOME");
    return home.starts_with('/') ? std::string(home) + "/.config/vitrine/views" : std::string();
}

OwnViews OwnViews::load(const std::string& folder) {
    OwnViews own;
    DIR* directory = folder.empty() ? nullptr : opendir(folder.c_str());
    if (directory == nullptr) return own;
    std::vector<std::string> names;
    while (const dirent* entry = readdir(directory)) {
        const std::string_view name = entry->d_name;
        if (name.ends_with(".sql") && !name.starts_with('.')) names.emplace_back(name);
    }
    closedir(directory);
    std::sort(names.begin(), names.end());
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (i < kMostFiles) own.add(folder, names[i]);
        else
            own.unused_.push_back({names[i].substr(0, names[i].size() - 4), folder + '/' + names[i],
                                   fmt::format("is not read: {} files are enough", kMostFiles)});
    }
    return own;
}

void OwnViews::add(const std::string& folder, const std::string& file_name) {
    const std::string name = file_name.substr(0, file_name.size() - 4);
    const std::string path = folder + '/' + file_name;
    auto text = read_file(path);
    if (!text) {
        unused_.push_back({name, path, "cannot be read: " + text.error()});
        return;
    }
    if (is_built_in(name)) {
        unused_.push_back(
            {name, path, fmt::format("is not used: {} is a command of vitrine; give it another name", name)});
        return;
    }
    auto view = parse_view(name, *text, false);
    if (!view) {
        unused_.push_back({name, fmt::format("{}:{}", path, view.error().line), std::move(view.error().text)});
        return;
    }
    view->file = path;
    if (view->examples.empty())
        view->examples.push_back({fmt::format("vitrine {} qemu:web1", name), "of a running guest"});
    views_.push_back(std::make_unique<ViewCommand>(std::move(*view)));
}

const Command* OwnViews::find(std::string_view name) const {
    for (const auto& view : views_) {
        if (view->view().name == name) return &view->command();
    }
    return nullptr;
}

const UnusedView* OwnViews::find_unused(std::string_view name) const {
    for (const UnusedView& unused : unused_) {
        if (unused.name == name) return &unused;
    }
    return nullptr;
}

}  // namespace vitrine::cli
