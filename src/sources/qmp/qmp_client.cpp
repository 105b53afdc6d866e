#include "sources/qmp/qmp_client.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace vitrine {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

// Messages that may arrive before the reply: events of a busy guest. Bounded so that a flood is no endless wait.
constexpr std::size_t kMaxSkipped = 10'000;

Error io_error(std::string_view doing, const std::string& path, int error_number) {
    const std::string text = fmt::format("{} the monitor socket '{}': {}", doing, path, std::strerror(error_number));
    switch (error_number) {
        case EACCES:
        case EPERM:
            return Error::with_text(Errc::permission, Origin::source, text,
                                    "run as root, or as the user that owns the socket");
        case ENOENT:
            return Error::with_text(Errc::not_found, Origin::source, text,
                                    "check the path: 'vitrine list' shows the sockets in use");
        case ECONNREFUSED:
            return Error::with_text(Errc::stale, Origin::source, text,
                                    "nobody listens there any more: 'vitrine list' shows the sockets in use");
        default: return Error::with_text(Errc::io, Origin::source, text);
    }
}

Error busy_error(const std::string& path) {
    return Error::with_text(
        Errc::busy, Origin::source,
        fmt::format("the monitor socket '{}' gives no greeting: another client (libvirt?) holds it", path),
        "give qemu:PID to do without the socket, or disconnect the other client");
}

// Waits for the socket; false when the deadline passed.
Result<bool> wait_for(int fd, short events, Clock::time_point deadline) {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd entry{fd, events, 0};
        const int n = ::poll(&entry, 1, left <= 0 ? 0 : static_cast<int>(std::min<long long>(left, 60'000)));
        if (n > 0) return true;
        if (n < 0 && errno != EINTR) return Error::make(Errc::io, Origin::source, "waiting for the monitor");
        if (n <= 0 && Clock::now() >= deadline) return false;
    }
}

struct SocketName {
    sockaddr_un address{};
    socklen_t length = 0;
    UniqueFd folder;  // kept open while the address refers to it
};

// sun_path holds 107 bytes; a longer path is reached through its folder: /proc/self/fd/N/name.
Result<SocketName> name_socket(const std::string& path) {
    SocketName name;
    name.address.sun_family = AF_UNIX;
    std::string text = path;
    const bool abstract = !text.empty() && text.front() == '@';
    if (!abstract && text.size() >= sizeof(name.address.sun_path)) {
        const std::size_t slash = text.rfind('/');
        const std::string folder = slash == std::string::npos ? "." : text.substr(0, slash + 1);
        name.folder.reset(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!name.folder) return io_error("opening the folder of", path, errno);
        text = fmt::format("/proc/self/fd/{}/{}", name.folder.get(), text.substr(slash + 1));
    }
    if (text.empty() || text.size() >= sizeof(name.address.sun_path)) {
        return Error::with_text(Errc::usage, Origin::user, fmt::format("'{}' is no usable socket path", path));
    }
    std::memcpy(name.address.sun_path, text.data(), text.size());
    if (abstract) name.address.sun_path[0] = '\0';
    name.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + text.size() + (abstract ? 0 : 1));
    return name;
}

std::string version_of(const json& greeting) {
    const json* qmp = json_member(greeting, "QMP");
    const json* version = qmp != nullptr ? json_member(*qmp, "version") : nullptr;
    const json* qemu = version != nullptr ? json_member(*version, "qemu") : nullptr;
    if (qemu == nullptr) return {};
    const auto major = json_unsigned(*qemu, "major");
    const auto minor = json_unsigned(*qemu, "minor");
    const auto micro = json_unsigned(*qemu, "micro");
    if (!major || !minor || !micro) return {};
    return fmt::format("{}.{}.{}", *major, *minor, *micro);
}

Error refusal(std::string_view command, const json& error) {
    const std::string kind = json_string(error, "class").value_or("");
    const std::string text = json_string(error, "desc").value_or("no reason given");
    const Errc code = kind == "CommandNotFound" ? Errc::unsupported : Errc::io;
    return Error::with_text(code, Origin::source, fmt::format("the monitor refuses '{}': {}", command, text));
}

}  // namespace

Result<std::unique_ptr<QmpClient>> QmpClient::connect(const std::string& socket_path, std::chrono::milliseconds timeout,
                                                      std::int32_t wanted_peer) {
    const Clock::time_point deadline = Clock::now() + timeout;
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return io_error("making a socket for", socket_path, errno);
    const SocketName name = VITRINE_TRY(name_socket(socket_path));
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&name.address), name.length) != 0) {
        // A full backlog: somebody is served, others wait already.
        if (errno == EAGAIN) return busy_error(socket_path);
        return io_error("connecting to", socket_path, errno);
    }
    ucred peer{};
    socklen_t peer_size = sizeof(peer);
    std::unique_ptr<QmpClient> client(new QmpClient(std::move(fd), socket_path));
    if (::getsockopt(client->fd(), SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) == 0 && peer.pid > 0) {
        client->peer_pid_ = peer.pid;
    }
    if (wanted_peer > 0 && client->peer_pid_ > 0 && client->peer_pid_ != wanted_peer) {
        return Error::with_text(Errc::stale, Origin::source,
                                fmt::format("the monitor socket '{}' belongs to process {} by now, not to process {}",
                                            socket_path, client->peer_pid_, wanted_peer));
    }
    VITRINE_CHECK(client->negotiate(deadline));
    return client;
}

Result<void> QmpClient::negotiate(Clock::time_point deadline) {
    auto greeting = receive_object(deadline);
    if (!greeting) {
        if (greeting.error().code == Errc::timeout) return busy_error(path_);
        return greeting.error();
    }
    if (json_member(*greeting, "QMP") == nullptr) {
        return Error::with_text(Errc::malformed, Origin::source,
                                fmt::format("what listens on '{}' does not speak QMP", path_),
                                "give the socket of -qmp, or of -mon with mode=control");
    }
    version_ = version_of(*greeting);
    auto agreed = call("qmp_capabilities", nullptr, deadline);
    if (!agreed) return agreed.error();
    return {};
}

Result<void> QmpClient::send(const std::string& text, Clock::time_point deadline) {
    std::size_t done = 0;
    while (done < text.size()) {
        const ssize_t n = ::send(fd_.get(), text.data() + done, text.size() - done, MSG_NOSIGNAL);
        if (n > 0) {
            done += static_cast<std::size_t>(n);
            continue;
        }
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno != EAGAIN) {
            if (errno == EPIPE || errno == ECONNRESET) {
                return Error::with_text(Errc::stale, Origin::source, fmt::format("the monitor closed '{}'", path_));
            }
            return io_error("writing to", path_, errno);
        }
        if (!VITRINE_TRY(wait_for(fd_.get(), POLLOUT, deadline))) {
            return Error::make(Errc::timeout, Origin::source, "writing to the monitor");
        }
    }
    return {};
}

Result<void> QmpClient::receive_more(Clock::time_point deadline) {
    if (buffer_.size() > kMaxReply) return Error::make(Errc::limit, Origin::source, "monitor message");
    std::array<char, 64 * 1024> piece;
    for (;;) {
        const ssize_t n = ::recv(fd_.get(), piece.data(), piece.size(), 0);
        if (n > 0) {
            buffer_.append(piece.data(), static_cast<std::size_t>(n));
            return {};
        }
        if (n == 0 || errno == ECONNRESET) {
            return Error::with_text(Errc::stale, Origin::source, fmt::format("the monitor closed '{}'", path_));
        }
        if (errno == EINTR) continue;
        if (errno != EAGAIN) return io_error("reading from", path_, errno);
        if (!VITRINE_TRY(wait_for(fd_.get(), POLLIN, deadline))) {
            return Error::with_text(Errc::timeout, Origin::source,
                                    fmt::format("the monitor on '{}' does not answer", path_));
        }
    }
}

Result<json> QmpClient::receive_object(Clock::time_point deadline) {
    MessageScanner scanner;
    for (;;) {
        const MessageScanner::State state = scanner.scan(buffer_);
        if (state == MessageScanner::State::complete) {
            auto message = parse_qmp_message(std::string_view(buffer_).substr(0, scanner.end()));
            buffer_.erase(0, scanner.end());
            return message;
        }
        if (state == MessageScanner::State::malformed) {
            return Error::make(Errc::malformed, Origin::source, "monitor message");
        }
        VITRINE_CHECK(receive_more(deadline));
    }
}

std::string QmpClient::make_request(std::string_view command, json arguments, std::uint64_t id) const {
    json request = {{"execute", command}, {"id", id}};
    if (!arguments.is_null()) request["arguments"] = std::move(arguments);
    return request.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<json> QmpClient::receive_reply(std::string_view command, std::uint64_t id, Clock::time_point deadline) {
    for (std::size_t skipped = 0; skipped < kMaxSkipped; ++skipped) {
        json message = VITRINE_TRY(receive_object(deadline));
        const bool is_reply = message.contains("return") || message.contains("error");
        if (!is_reply) continue;  // an event
        if (message.contains("id") && json_unsigned(message, "id") != id) continue;
        broken_ = false;
        if (const json* error = json_member(message, "error")) return refusal(command, *error);
        return std::move(message["return"]);
    }
    return Error::make(Errc::limit, Origin::source, "events before the monitor's reply");
}

Result<json> QmpClient::call(std::string_view command, json arguments, Clock::time_point deadline) {
    if (broken_) return Error::make(Errc::stale, Origin::source, "the monitor connection was given up");
    const std::uint64_t id = next_id_++;
    broken_ = true;  // until the matching reply is here
    VITRINE_CHECK(send(make_request(command, std::move(arguments), id), deadline));
    return receive_reply(command, id, deadline);
}

Result<json> QmpClient::execute(std::string_view command, json arguments) {
    return call(command, std::move(arguments), Clock::now() + command_timeout_);
}

std::vector<Result<json>> QmpClient::execute_all(std::vector<Command> commands) {
    const Clock::time_point deadline = Clock::now() + command_timeout_;
    const std::uint64_t first_id = next_id_;
    next_id_ += commands.size();
    std::string requests;
    for (std::size_t i = 0; i < commands.size(); ++i) {
        requests += make_request(commands[i].name, std::move(commands[i].arguments), first_id + i);
    }
    std::vector<Result<json>> replies;
    std::optional<Error> failed;
    if (broken_) failed = Error::make(Errc::stale, Origin::source, "the monitor connection was given up");
    broken_ = true;
    if (!failed) {
        if (auto sent = send(requests, deadline); !sent) failed = sent.error();
    }
    for (std::size_t i = 0; i < commands.size(); ++i) {
        if (!failed) {
            broken_ = true;
            auto reply = receive_reply(commands[i].name, first_id + i, deadline);
            // A refusal is an answer like another; after anything else no further answer can be told apart.
            if (broken_) failed = reply.error();
            else replies.push_back(std::move(reply));
        }
        if (failed) replies.emplace_back(*failed);
    }
    return replies;
}

QmpClient::Command QmpClient::hmp_command(std::string_view command_line) {
    return {"human-monitor-command", {{"command-line", command_line}}};
}

Result<std::string> QmpClient::hmp_text(const Result<json>& reply) {
    if (!reply) return reply.error();
    const auto* text = reply->get_ptr<const std::string*>();
    if (text == nullptr) return Error::make(Errc::malformed, Origin::source, "reply of the human monitor");
    std::string out;
    out.reserve(text->size());
    for (const char c : *text) {
        if (c != '\r') out += c;
    }
    return out;
}

Result<std::string> QmpClient::hmp(std::string_view command_line) {
    Command command = hmp_command(command_line);
    return hmp_text(execute(command.name, std::move(command.arguments)));
}

}  // namespace vitrine
