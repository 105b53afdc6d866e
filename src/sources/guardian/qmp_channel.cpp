#include "sources/guardian/qmp_channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace vitrine::guardian {

namespace {

constexpr int kMaxNesting = 64;
constexpr int kMaxEvents = 10'000;  // messages before a reply: a flood of events is no endless wait

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

// Past the string that starts at `at` (its opening quote); text.size when it does not end.
std::size_t skip_string(TextView text, std::size_t at) {
    for (++at; at < text.size; ++at) {
        if (text.data[at] == '\\') {
            ++at;
        } else if (text.data[at] == '"') {
            return at + 1;
        }
    }
    return text.size;
}

// Past the value that starts at `at`: up to the comma or bracket that ends it.
std::size_t skip_value(TextView text, std::size_t at) {
    int depth = 0;
    while (at < text.size) {
        const char c = text.data[at];
        if (c == '"') {
            at = skip_string(text, at);
            continue;
        }
        if (c == '{' || c == '[') ++depth;
        if (depth == 0 && (c == ',' || c == '}' || c == ']')) return at;
        if (c == '}' || c == ']') --depth;
        ++at;
    }
    return at;
}

std::size_t skip_blanks(TextView text, std::size_t at) {
    while (at < text.size && is_blank(text.data[at])) ++at;
    return at;
}

TextView literal(const char* text) { return TextView{text, strlen(text)}; }

// sun_path holds 107 bytes; a socket file of any path can be reached through a descriptor for it.
int connect_socket(int fd, const char* path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::size_t length = strlen(path);
    if (path[0] == '@') {
        if (length >= sizeof(address.sun_path)) {
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(address.sun_path + 1, path + 1, length - 1);
        return ::connect(fd, reinterpret_cast<const sockaddr*>(&address),
                         static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length));
    }
    const int file = ::open(path, O_PATH | O_CLOEXEC);
    if (file < 0) return -1;
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", file);
    const int result = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    const int error = errno;
    ::close(file);
    errno = error;
    return result;
}

// The path may lead to another process by now. A peer of another pid namespace reads as 0: then nothing is known.
bool is_peer(int fd, pid_t wanted) {
    ucred peer{};
    socklen_t size = sizeof(peer);
    if (wanted <= 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return true;
    return peer.pid <= 0 || peer.pid == wanted;
}

bool wait_for(int fd, short events, Deadline deadline) {
    for (;;) {
        const std::uint64_t left_ms = deadline.left_ns() / 1'000'000u;
        pollfd entry{fd, events, 0};
        const int n = ::poll(&entry, 1, left_ms > 60'000 ? 60'000 : static_cast<int>(left_ms) + 1);
        if (n > 0) return true;
        if (n < 0 && errno != EINTR) return false;
        if (deadline.passed()) return false;
    }
}

}  // namespace

bool TextView::equals(const char* text) const { return strlen(text) == size && memcmp(data, text, size) == 0; }

bool json_member(TextView object, const char* key, TextView* value) {
    std::size_t at = skip_blanks(object, 0);
    if (at >= object.size || object.data[at] != '{') return false;
    ++at;
    while (at < object.size) {
        at = skip_blanks(object, at);
        if (at >= object.size || object.data[at] != '"') return false;
        const std::size_t name = at + 1;
        at = skip_string(object, at);
        if (at < name + 1) return false;
        const TextView found{object.data + name, at - name - 1};
        at = skip_blanks(object, at);
        if (at >= object.size || object.data[at] != ':') return false;
        const std::size_t begin = skip_blanks(object, at + 1);
        std::size_t end = skip_value(object, begin);
        at = end + 1;
        if (end > object.size || begin > end) return false;
        if (!found.equals(key)) continue;
        while (end > begin && is_blank(object.data[end - 1])) --end;
        *value = TextView{object.data + begin, end - begin};
        return true;
    }
    return false;
}

std::ptrdiff_t json_object_length(TextView text) {
    int depth = 0;
    std::size_t at = skip_blanks(text, 0);
    if (at >= text.size) return 0;
    if (text.data[at] != '{') return -1;
    while (at < text.size) {
        const char c = text.data[at];
        if (c == '"') {
            const std::size_t next = skip_string(text, at);
            if (next >= text.size) return 0;
            at = next;
            continue;
        }
        if ((c == '{' || c == '[') && ++depth > kMaxNesting) return -1;
        ++at;
        if ((c == '}' || c == ']') && --depth == 0) return static_cast<std::ptrdiff_t>(at);
    }
    return 0;
}

void QmpChannel::close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
    filled_ = consumed_ = 0;
}

Status QmpChannel::connect(const char* path, pid_t peer, Deadline deadline, std::int32_t* sys_errno) {
    close();
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect_socket(fd, path) != 0) {
        *sys_errno = errno;
        if (fd >= 0) ::close(fd);
        return *sys_errno == EAGAIN ? Status::busy : Status::no_connection;  // EAGAIN: the backlog is full
    }
    fd_ = fd;
    if (!is_peer(fd, peer)) {
        close();
        return Status::wrong_peer;
    }
    TextView message;
    Status status = receive(deadline, &message);
    TextView unused;
    if (status == Status::ok && !json_member(message, "QMP", &unused)) status = Status::malformed;
    if (status == Status::ok) status = execute(literal("{\"execute\":\"qmp_capabilities\"}\n"), deadline, &message);
    if (status == Status::ok) return status;
    close();
    return status == Status::timeout ? Status::busy : status;
}

Status QmpChannel::send_all(TextView text, int pass_fd, Deadline deadline) {
    std::size_t done = 0;
    while (done < text.size) {
        iovec piece{const_cast<char*>(text.data + done), text.size - done};
        msghdr message{};
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
        if (pass_fd >= 0 && done == 0) {
            message.msg_control = control;
            message.msg_controllen = sizeof(control);
            cmsghdr* header = CMSG_FIRSTHDR(&message);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(sizeof(int));
            memcpy(CMSG_DATA(header), &pass_fd, sizeof(int));
        }
        const ssize_t n = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
        if (n > 0) {
            done += static_cast<std::size_t>(n);
        } else if (n < 0 && errno == EAGAIN) {
            if (!wait_for(fd_, POLLOUT, deadline)) return Status::timeout;
        } else if (n < 0 && errno != EINTR) {
            return Status::gone;
        }
    }
    return Status::ok;
}

Status QmpChannel::receive(Deadline deadline, TextView* object) {
    if (consumed_ != 0) {
        memmove(buffer_, buffer_ + consumed_, filled_ - consumed_);
        filled_ -= consumed_;
        consumed_ = 0;
    }
    for (;;) {
        const std::ptrdiff_t length = json_object_length(TextView{buffer_, filled_});
        if (length < 0) return Status::malformed;
        if (length > 0) {
            consumed_ = static_cast<std::size_t>(length);
            *object = TextView{buffer_, consumed_};
            return Status::ok;
        }
        if (filled_ == kMaxReply) return Status::too_big;
        if (filled_ != 0 && deadline.passed()) return Status::timeout;
        const ssize_t n = ::recv(fd_, buffer_ + filled_, kMaxReply - filled_, 0);
        if (n > 0) {
            filled_ += static_cast<std::size_t>(n);
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            return Status::gone;
        } else if (errno == EAGAIN && !wait_for(fd_, POLLIN, deadline)) {
            return Status::timeout;
        }
    }
}

Status QmpChannel::receive_reply(Deadline deadline, TextView* reply) {
    for (int i = 0; i < kMaxEvents; ++i) {
        const Status status = receive(deadline, reply);
        if (status != Status::ok) return status;
        TextView unused;
        if (json_member(*reply, "return", &unused)) return Status::ok;
        if (json_member(*reply, "error", &unused)) return Status::refused;
    }
    return Status::too_big;
}

Status QmpChannel::execute(TextView command, Deadline deadline, TextView* reply, int pass_fd) {
    if (fd_ < 0) return Status::no_connection;
    Status status = send_all(command, pass_fd, deadline);
    if (status == Status::ok) status = receive_reply(deadline, reply);
    // A reply that did not come could be taken for the next one.
    if (status != Status::ok && status != Status::refused) close();
    return status;
}

}  // namespace vitrine::guardian
