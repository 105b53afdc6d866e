#include "render/output.h"

#include <unistd.h>

#include <cerrno>

namespace vitrine::cli {

void Output::write(std::string_view text) {
    if (!ok()) return;
    buffer_ += text;
    if (buffer_.size() >= kBufferSize) flush();
}

void Output::flush() {
    std::string_view left = buffer_;
    while (ok() && !left.empty()) {
        const ssize_t wrote = ::write(fd_, left.data(), left.size());
        if (wrote >= 0) left.remove_prefix(static_cast<std::size_t>(wrote));
        else if (errno != EINTR) error_ = errno;
    }
    buffer_.clear();
}

bool Output::reader_gone() const { return error_ == EPIPE; }

}  // namespace vitrine::cli
