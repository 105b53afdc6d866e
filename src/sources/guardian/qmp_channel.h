// The few exchanges that the guardian process has with a QMP socket, without allocating: stop, cont, query-status, passing
// a file descriptor, and relaying a command. (QmpClient is the client for everything else.)
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "sources/guardian/protocol.h"
#include "sources/guardian/tracing.h"

namespace vitrine::guardian {

struct TextView {
    const char* data = nullptr;
    std::size_t size = 0;

    [[nodiscard]] bool equals(const char* text) const;
};

// The value of a member of a JSON object, as text. False when there is none, or the text is no object.
bool json_member(TextView object, const char* key, TextView* value);
// Length of the first complete JSON object in the text (leading blanks included): 0 when it is not complete yet, -1 when
// this cannot become one.
std::ptrdiff_t json_object_length(TextView text);

class QmpChannel {
public:
    static constexpr std::size_t kMaxReply = std::size_t{4} << 20;

    // `buffer`: kMaxReply bytes, which outlive the channel.
    explicit QmpChannel(char* buffer) : buffer_(buffer) {}

    // Connects and negotiates. "@name": the abstract namespace. Path length is not limited. peer: the process that must be the
    // one that listens, as far as the kernel tells; -1: any.
    Status connect(const char* path, pid_t peer, Deadline deadline, std::int32_t* sys_errno);
    void close();
    [[nodiscard]] bool is_open() const { return fd_ >= 0; }

    // Sends one command and waits for its reply, an object with "return" (ok) or "error" (refused). The view holds until
    // the next call. A descriptor goes with it when pass_fd is not -1. Any other status closes the channel.
    Status execute(TextView command, Deadline deadline, TextView* reply, int pass_fd = -1);

private:
    Status send_all(TextView text, int pass_fd, Deadline deadline);
    Status receive(Deadline deadline, TextView* object);
    Status receive_reply(Deadline deadline, TextView* reply);

    char* buffer_;
    std::size_t filled_ = 0;
    std::size_t consumed_ = 0;
    int fd_ = -1;
};

}  // namespace vitrine::guardian
