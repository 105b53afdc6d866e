#include "shell/line_reader.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "app/interrupt.h"

namespace vitrine::cli {
namespace {

// Until there is something to read, or the end; false at Ctrl-C, also if that came before: none is lost in between.
bool wait_for_input(int fd) {
    sigset_t held;
    sigset_t before;
    sigemptyset(&held);
    sigaddset(&held, SIGINT);
    pthread_sigmask(SIG_BLOCK, &held, &before);
    pollfd input{fd, POLLIN, 0};
    while (!interrupted() && ppoll(&input, 1, nullptr, &before) < 0 && errno == EINTR) continue;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return !interrupted();
}

}  // namespace

LineEnd FileLines::read(std::string_view, std::string& line) {
    std::size_t searched = 0;
    while (true) {
        const auto end = buffer_.find('\n', searched);
        if (end != std::string::npos || (ended_ && !buffer_.empty()) || buffer_.size() > kLongestLine) {
            line = buffer_.substr(0, end);
            buffer_.erase(0, end == std::string::npos ? end : end + 1);
            return LineEnd::line;
        }
        if (ended_) return LineEnd::end;
        searched = buffer_.size();
        if (!wait_for_input(fd_)) return LineEnd::interrupted;  // a pipe may never have more
        std::array<char, 65536> part;
        const ssize_t got = ::read(fd_, part.data(), part.size());
        if (got > 0) buffer_.append(part.data(), static_cast<std::size_t>(got));
        else if (got == 0 || errno != EINTR) ended_ = true;
    }
}

}  // namespace vitrine::cli
