// A client of QEMU's machine protocol (QMP) over a unix socket. The socket serves one client at a time: connect, ask,
// and let go at once, so that nobody else is kept out.
//
//   auto qmp = VITRINE_TRY(QmpClient::connect("/run/vm.sock", std::chrono::milliseconds(500)));
//   auto status = VITRINE_TRY(qmp->execute("query-status"));
//   auto tree = VITRINE_TRY(qmp->hmp("info mtree -f"));
//
// Replies are bounded in size, nesting and time. The monitor is trusted no more than the guest is: a compromised
// QEMU may answer anything.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "sources/qmp/message.h"
#include "vitrine/base/result.h"

namespace vitrine {

class QmpClient {
public:
    static constexpr std::size_t kMaxReply = 8u << 20;
    static constexpr unsigned kMaxNesting = 64;

    // timeout: for the connection, the greeting and the negotiation together. socket_path: a path of any length, or
    // "@name" for a socket in the abstract namespace.
    // peer: the process that must be the one that listens, as far as the kernel tells; -1: any.
    // Errors: busy (nobody greets us: another client is being served), permission, not_found, io, malformed, stale (nobody
    // listens, or another process than `peer`).
    static Result<std::unique_ptr<QmpClient>> connect(const std::string& socket_path, std::chrono::milliseconds timeout,
                                                      std::int32_t peer = -1);

    // The value of "return". A refusal by the monitor is Errc::unsupported when it does not know the command, else Errc::io.
    Result<nlohmann::json> execute(std::string_view command, nlohmann::json arguments = nullptr);
    struct Command {
        std::string name;
        nlohmann::json arguments = nullptr;
    };
    // Sends all commands at once: one wait for the busy monitor in place of many. One outcome per command; when the
    // connection fails, the same error for all that were not answered.
    std::vector<Result<nlohmann::json>> execute_all(std::vector<Command> commands);
    // A command of the human monitor, for execute_all(), and how its reply is read.
    static Command hmp_command(std::string_view command_line);
    static Result<std::string> hmp_text(const Result<nlohmann::json>& reply);

    // Runs a command of the human monitor; gives its text, with CRLF turned into LF.
    Result<std::string> hmp(std::string_view command_line);

    // How long one command may take. Commands wait for QEMU's big lock, so this is longer than a greeting.
    void set_command_timeout(std::chrono::milliseconds timeout) { command_timeout_ = timeout; }
    // "7.2.22", from the greeting; empty when it did not say.
    [[nodiscard]] const std::string& qemu_version() const { return version_; }
    // The process that listens on the socket (SO_PEERCRED); -1 when the kernel does not say. A socket that was handed to
    // QEMU by its parent shows the parent.
    [[nodiscard]] std::int32_t peer_pid() const { return peer_pid_; }
    [[nodiscard]] int fd() const { return fd_.get(); }

private:
    using Clock = std::chrono::steady_clock;

    QmpClient(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

    Result<void> negotiate(Clock::time_point deadline);
    Result<void> send(const std::string& text, Clock::time_point deadline);
    Result<void> receive_more(Clock::time_point deadline);
    Result<nlohmann::json> receive_object(Clock::time_point deadline);
    Result<nlohmann::json> call(std::string_view command, nlohmann::json arguments, Clock::time_point deadline);
    std::string make_request(std::string_view command, nlohmann::json arguments, std::uint64_t id) const;
    Result<nlohmann::json> receive_reply(std::string_view command, std::uint64_t id, Clock::time_point deadline);

    UniqueFd fd_;
    std::string path_;
    std::string buffer_;  // received, not yet consumed
    std::string version_;
    std::int32_t peer_pid_ = -1;
    std::uint64_t next_id_ = 1;
    bool broken_ = false;  // a reply was lost: what comes next cannot be matched to a question
    std::chrono::milliseconds command_timeout_{5000};
};

}  // namespace vitrine
