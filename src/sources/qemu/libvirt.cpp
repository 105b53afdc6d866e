#include "sources/qemu/libvirt.h"

#include <dirent.h>

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "sources/host/process.h"

namespace vitrine {
namespace {

constexpr std::size_t kMaxFile = 4u << 20;
constexpr std::size_t kMaxDomains = 4096;
constexpr std::uint64_t kMaxPid = 1u << 22;

struct CloseDir {
    void operator()(DIR* d) const { ::closedir(d); }
};

std::vector<std::string> names_in(const std::string& path) {
    std::vector<std::string> names;
    const std::unique_ptr<DIR, CloseDir> folder(::opendir(path.c_str()));
    if (!folder) return names;
    while (const dirent* entry = ::readdir(folder.get())) {
        if (names.size() == kMaxDomains) break;
        names.emplace_back(entry->d_name);
    }
    return names;
}

std::optional<std::uint64_t> pid_in_pid_file(std::string_view text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
    return parse_decimal(text);
}

// <domstatus state='running' reason='booted' pid='4711'> (qemuDomainObjPrivateXMLFormat() in libvirt's qemu_domain.c)
std::optional<std::uint64_t> pid_in_status(std::string_view text) {
    const std::size_t begin = text.find("<domstatus ");
    const std::size_t end = begin == std::string_view::npos ? begin : text.find('>', begin);
    if (end == std::string_view::npos) return std::nullopt;  // nothing, or cut off in the middle of the number
    text = text.substr(begin, end - begin);
    constexpr std::string_view kLabel = " pid='";
    const std::size_t at = text.find(kLabel);
    if (at == std::string_view::npos) return std::nullopt;
    text.remove_prefix(at + kLabel.size());
    return parse_decimal(text.substr(0, text.find('\'')));
}

}  // namespace

std::map<pid_t, std::string> read_libvirt_domains(const std::string& folder) {
    constexpr std::string_view kPid = ".pid";
    constexpr std::string_view kStatus = ".xml";
    std::map<pid_t, std::string> domains;
    for (const std::string& name : names_in(folder)) {
        const bool is_pid = name.ends_with(kPid);
        if (!is_pid && !name.ends_with(kStatus)) continue;
        const auto text = read_whole_file(folder + "/" + name, kMaxFile);
        if (!text) continue;
        const auto pid = is_pid ? pid_in_pid_file(*text) : pid_in_status(*text);
        if (pid && *pid > 0 && *pid <= kMaxPid)
            domains.emplace(static_cast<pid_t>(*pid), name.substr(0, name.size() - kPid.size()));
    }
    return domains;
}

std::map<pid_t, std::string> find_libvirt_domains() {
    std::map<pid_t, std::string> domains = read_libvirt_domains("/run/libvirt/qemu");
    for (const std::string& user : names_in("/run/user")) {
        if (parse_decimal(user)) domains.merge(read_libvirt_domains("/run/user/" + user + "/libvirt/qemu/run"));
    }
    return domains;
}

}  // namespace vitrine
