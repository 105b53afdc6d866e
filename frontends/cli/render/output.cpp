#include "render/output.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "app/interrupt.h"

namespace vitrine::cli {
namespace {

// A file that nobody else can open and that is gone with its descriptor; -1 with errno.
int open_nameless() {
    const char* wanted = std::getenv("TMPDIR");
    std::string folder = wanted == nullptr || *wanted == '\0' ? "/tmp" : wanted;
    const int fd = open(folder.c_str(), O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return fd;
    std::string path = folder + "/vitrine-XXXXXX";  // a file system that has no such files
    const int named = mkostemp(path.data(), O_CLOEXEC);
    if (named >= 0) unlink(path.c_str());
    return named;
}

}  // namespace

Output::~Output() {
    if (kept_fd_ >= 0) close(kept_fd_);
}

void Output::write(std::string_view text) {
    if (!ok()) return;
    buffer_ += text;
    if (held_ && buffer_.size() >= kMostInMemory) keep();
    else if (!held_ && buffer_.size() >= kBufferSize) flush();
}

void Output::flush() {
    if (held_) return;
    send(buffer_);
    buffer_.clear();
}

void Output::send(std::string_view text) {
    while (ok() && !text.empty() && !interrupted()) {
        const ssize_t wrote = ::write(fd_, text.data(), text.size());
        if (wrote >= 0) text.remove_prefix(static_cast<std::size_t>(wrote));
        else if (errno != EINTR) error_ = errno;
    }
}

void Output::keeping_fails(int error) {
    error_ = error;
    keeping_failed_ = true;
    buffer_.clear();
}

void Output::keep() {
    if (kept_fd_ < 0) kept_fd_ = open_nameless();
    if (kept_fd_ < 0) return keeping_fails(errno);
    if (kept_ + buffer_.size() > kMostKept) return keeping_fails(EFBIG);
    for (std::string_view left = buffer_; !left.empty();) {
        const ssize_t wrote = pwrite(kept_fd_, left.data(), left.size(), static_cast<off_t>(kept_));
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return keeping_fails(errno);
        kept_ += static_cast<std::uint64_t>(wrote);
        left.remove_prefix(static_cast<std::size_t>(wrote));
    }
    buffer_.clear();
}

void Output::release() {
    held_ = false;
    if (kept_fd_ >= 0) send_kept();
    if (buffer_.size() >= kBufferSize) flush();
}

void Output::send_kept() {
    std::string part(kBufferSize, '\0');
    std::uint64_t done = 0;
    while (ok() && done < kept_ && !interrupted()) {
        const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(part.size(), kept_ - done));
        const ssize_t got = pread(kept_fd_, part.data(), wanted, static_cast<off_t>(done));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return keeping_fails(got < 0 ? errno : EIO);
        send(std::string_view(part).substr(0, static_cast<std::size_t>(got)));
        done += static_cast<std::uint64_t>(got);
    }
    close(kept_fd_);
    kept_fd_ = -1;
    kept_ = 0;
}

bool Output::reader_gone() const { return error_ == EPIPE && !keeping_failed_; }

}  // namespace vitrine::cli
