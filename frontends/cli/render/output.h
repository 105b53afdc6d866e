// Buffered writing to a file descriptor. The first failure sticks; what is written after it is dropped.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace vitrine::cli {

class Output {
public:
    explicit Output(int fd) : fd_(fd) {}
    Output(const Output&) = delete;
    Output& operator=(const Output&) = delete;

    void write(std::string_view text);
    void flush();

    [[nodiscard]] bool ok() const { return error_ == 0; }
    [[nodiscard]] int error() const { return error_; }  // errno of the first failure, or 0
    [[nodiscard]] bool reader_gone() const;             // the failure is a closed pipe
    [[nodiscard]] int fd() const { return fd_; }

private:
    static constexpr std::size_t kBufferSize = 64 * 1024;
    int fd_;
    int error_ = 0;
    std::string buffer_;
};

}  // namespace vitrine::cli
