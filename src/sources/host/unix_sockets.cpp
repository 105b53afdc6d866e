#include "sources/host/unix_sockets.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "sources/host/open_files.h"

namespace vitrine {
namespace {

constexpr std::size_t kMaxText = 64u << 20;
// net/unix/af_unix.c: __SO_ACCEPTCON of include/uapi/linux/net.h in the Flags column.
constexpr std::uint64_t kAcceptsConnections = 1u << 16;
constexpr std::uint64_t kConnected = 3;  // SS_CONNECTED of include/linux/net.h in the St column

std::optional<UnixSocket> parse_line(std::string_view line) {
    // Num RefCount Protocol Flags Type St Inode Path
    std::array<std::string_view, 7> columns;
    for (std::string_view& column : columns) {
        const std::size_t begin = line.find_first_not_of(' ');
        if (begin == std::string_view::npos) return std::nullopt;
        const std::size_t end = std::min(line.find(' ', begin), line.size());
        column = line.substr(begin, end - begin);
        line.remove_prefix(end);
    }
    const auto flags = parse_hex(columns[3]);
    const auto inode = parse_decimal(columns[6]);
    const auto state = parse_hex(columns[5]);
    if (!flags || !inode || !state) return std::nullopt;
    if (!line.empty()) line.remove_prefix(1);
    const bool listening = (*flags & kAcceptsConnections) != 0;
    return UnixSocket{*inode, std::string(line), listening, !listening && *state == kConnected && *inode != 0};
}

}  // namespace

std::vector<UnixSocket> parse_unix_sockets(std::string_view text) {
    std::vector<UnixSocket> sockets;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        if (auto socket = parse_line(text.substr(0, end))) sockets.push_back(std::move(*socket));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return sockets;
}

Result<std::vector<UnixSocket>> read_unix_sockets(const HostProcess& process) {
    return parse_unix_sockets(VITRINE_TRY(read_whole_file(process.path("net/unix"), kMaxText)));
}

std::vector<OwnSocket> own_unix_sockets(const HostProcess& process) {
    const auto files = list_open_files(process);
    const auto sockets = files ? read_unix_sockets(process) : Result<std::vector<UnixSocket>>(files.error());
    if (!sockets) return {};
    std::unordered_map<std::uint64_t, int> numbers;
    for (const OpenFile& file : *files) {
        if (const auto inode = socket_inode(file.target)) numbers.emplace(*inode, file.number);
    }
    std::vector<OwnSocket> own;
    for (const UnixSocket& socket : *sockets) {
        if (const auto found = numbers.find(socket.inode); found != numbers.end())
            own.push_back({socket, found->second});
    }
    return own;
}

std::optional<std::uint64_t> socket_inode(std::string_view target) {
    constexpr std::string_view kPrefix = "socket:[";
    if (!target.starts_with(kPrefix) || !target.ends_with(']')) return std::nullopt;
    return parse_decimal(target.substr(kPrefix.size(), target.size() - kPrefix.size() - 1));
}

}  // namespace vitrine
