// Files that go away with the test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace vitrine::testing {

class TempFile {
public:
    explicit TempFile(std::uint64_t size = 0);
    explicit TempFile(std::span<const std::byte> content) : TempFile(content.size()) { write(0, content); }
    TempFile(const TempFile&) = delete;
    TempFile& operator=(const TempFile&) = delete;
    ~TempFile();

    [[nodiscard]] int fd() const { return fd_; }
    [[nodiscard]] const std::string& path() const { return path_; }
    void write(std::uint64_t offset, std::span<const std::byte> bytes) const;

private:
    std::string path_;
    int fd_ = -1;
};

}  // namespace vitrine::testing
