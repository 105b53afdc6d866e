#include "sources/host/maps.h"

#include <fmt/format.h>

#include <cerrno>
#include <optional>

namespace vitrine {
namespace {

constexpr std::size_t kMaxMapsText = 64u << 20;  // vm.max_map_count is 65,530 by default

std::string_view take_word(std::string_view& line) {
    const std::size_t end = std::min(line.find(' '), line.size());
    const std::string_view word = line.substr(0, end);
    line.remove_prefix(end);
    const std::size_t next = line.find_first_not_of(' ');
    line.remove_prefix(next == std::string_view::npos ? line.size() : next);
    return word;
}

// A newline in a path is shown as \012; other bytes stand for themselves.
std::string unescape_path(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text.substr(i, 4) == "\\012") {
            out += '\n';
            i += 3;
        } else {
            out += text[i];
        }
    }
    return out;
}

std::optional<HostMapping> parse_line(std::string_view line) {
    HostMapping m;
    const std::string_view range = take_word(line);
    const std::string_view flags = take_word(line);
    const auto offset = parse_hex(take_word(line));
    const std::string_view device = take_word(line);
    const auto inode = parse_decimal(take_word(line));
    const std::size_t dash = range.find('-');
    const std::size_t colon = device.find(':');
    if (dash == std::string_view::npos || colon == std::string_view::npos || flags.size() != 4 || !offset || !inode) {
        return std::nullopt;
    }
    const auto start = parse_hex(range.substr(0, dash));
    const auto end = parse_hex(range.substr(dash + 1));
    const auto major = parse_hex(device.substr(0, colon));
    const auto minor = parse_hex(device.substr(colon + 1));
    if (!start || !end || *start >= *end || !major || !minor || *major > UINT32_MAX || *minor > UINT32_MAX)
        return std::nullopt;
    m.start = *start;
    m.end = *end;
    m.readable = flags[0] == 'r';
    m.writable = flags[1] == 'w';
    m.executable = flags[2] == 'x';
    m.shared = flags[3] == 's';
    m.file_offset = *offset;
    m.device_major = static_cast<std::uint32_t>(*major);
    m.device_minor = static_cast<std::uint32_t>(*minor);
    m.inode = *inode;
    m.path = unescape_path(line);
    return m;
}

bool continues(const HostMapping& a, const HostMapping& b) {
    if (a.end != b.start || a.readable != b.readable || a.writable != b.writable || a.executable != b.executable ||
        a.shared != b.shared || a.inode != b.inode || a.device_major != b.device_major ||
        a.device_minor != b.device_minor || a.path != b.path) {
        return false;
    }
    return !a.is_file() || a.file_offset + a.size() == b.file_offset;
}

}  // namespace

Result<std::vector<HostMapping>> parse_maps(std::string_view text) {
    std::vector<HostMapping> maps;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        auto mapping = parse_line(text.substr(0, end));
        if (!mapping || (!maps.empty() && mapping->start < maps.back().end)) {
            return Error::make(Errc::malformed, Origin::source, "reading /proc/PID/maps");
        }
        maps.push_back(std::move(*mapping));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return maps;
}

Result<std::vector<HostMapping>> read_maps(const HostProcess& process) {
    auto text = read_whole_file(process.path("maps"), kMaxMapsText);
    if (!text) {
        const Errc code = text.error().code;
        if (code == Errc::permission) return process_error(process.pid(), EACCES, "reading the mappings of");
        if (code == Errc::not_found)
            return Error::with_text(Errc::stale, Origin::source, fmt::format("process {} has ended", process.pid()));
        return text.error();
    }
    return parse_maps(*text);
}

std::vector<HostMapping> join_mappings(const std::vector<HostMapping>& maps) {
    std::vector<HostMapping> joined;
    for (const HostMapping& m : maps) {
        if (!joined.empty() && continues(joined.back(), m)) joined.back().end = m.end;
        else joined.push_back(m);
    }
    return joined;
}

}  // namespace vitrine
