#include "shell/line_reader.h"

#include <unistd.h>

#include <array>
#include <cerrno>

namespace vitrine::cli {

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
        std::array<char, 65536> part;
        const ssize_t got = ::read(fd_, part.data(), part.size());
        if (got > 0) buffer_.append(part.data(), static_cast<std::size_t>(got));
        else if (got == 0 || errno != EINTR) ended_ = true;
    }
}

}  // namespace vitrine::cli
