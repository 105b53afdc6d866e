#include "support/temp_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>

namespace vitrine::testing {

TempFile::TempFile(std::uint64_t size) {
    const char* folder = std::getenv("TMPDIR");
    path_ = std::string(folder != nullptr ? folder : "/tmp") + "/vitrine-test-XXXXXX";
    fd_ = mkostemp(path_.data(), O_CLOEXEC);
    if (fd_ < 0 || ftruncate(fd_, static_cast<off_t>(size)) != 0) throw std::runtime_error("temporary file");
}

TempFile::~TempFile() {
    close(fd_);
    unlink(path_.c_str());
}

void TempFile::write(std::uint64_t offset, std::span<const std::byte> bytes) const {
    if (pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset)) != static_cast<ssize_t>(bytes.size())) {
        throw std::runtime_error("temporary file: write");
    }
}

}  // namespace vitrine::testing
