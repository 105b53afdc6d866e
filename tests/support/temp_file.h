// Files that go away with the test.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <stdexcept>
#include <string>

namespace vitrine::testing {

class TempFile {
public:
    explicit TempFile(std::uint64_t size = 0) {
        const char* folder = std::getenv("TMPDIR");
        path_ = std::string(folder != nullptr ? folder : "/tmp") + "/vitrine-test-XXXXXX";
        fd_ = mkostemp(path_.data(), O_CLOEXEC);
        if (fd_ < 0 || ftruncate(fd_, static_cast<off_t>(size)) != 0) throw std::runtime_error("temporary file");
    }
    explicit TempFile(std::span<const std::byte> content) : TempFile(content.size()) { write(0, content); }
    TempFile(const TempFile&) = delete;
    TempFile& operator=(const TempFile&) = delete;
    ~TempFile() {
        close(fd_);
        unlink(path_.c_str());
    }

    [[nodiscard]] int fd() const { return fd_; }
    [[nodiscard]] const std::string& path() const { return path_; }
    void write(std::uint64_t offset, std::span<const std::byte> bytes) const {
        if (pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset)) != static_cast<ssize_t>(bytes.size())) {
            throw std::runtime_error("temporary file: write");
        }
    }

private:
    std::string path_;
    int fd_ = -1;
};

}  // namespace vitrine::testing
