// Buffered writing to a file descriptor. The first failure sticks; what is written after it is dropped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace vitrine::cli {

class Output {
public:
    explicit Output(int fd) : fd_(fd) {}
    Output(const Output&) = delete;
    Output& operator=(const Output&) = delete;
    ~Output();

    void write(std::string_view text);
    // Waits for the reader, unless Ctrl-C was pressed or the output is held.
    void flush();

    // From hold() to release() nothing reaches the descriptor, whose reader may be slow or asleep: what is written is kept,
    // a little in memory and the rest in a file without a name. release() writes it.
    void hold() { held_ = true; }
    void release();

    [[nodiscard]] bool ok() const { return error_ == 0; }
    [[nodiscard]] int error() const { return error_; }                     // errno of the first failure, or 0
    [[nodiscard]] bool reader_gone() const;                                // the failure is a closed pipe
    [[nodiscard]] bool keeping_failed() const { return keeping_failed_; }  // of what was held, not of the descriptor
    [[nodiscard]] int fd() const { return fd_; }

private:
    static constexpr std::size_t kBufferSize = 64 * 1024;
    static constexpr std::size_t kMostInMemory = std::size_t{4} << 20;
    static constexpr std::uint64_t kMostKept = std::uint64_t{1} << 30;

    void send(std::string_view text);
    void keep();
    void keeping_fails(int error);
    void send_kept();

    int fd_;
    int error_ = 0;
    bool held_ = false;
    bool keeping_failed_ = false;
    std::string buffer_;
    int kept_fd_ = -1;
    std::uint64_t kept_ = 0;  // bytes in kept_fd_, all from before buffer_
};

// Holds the output for the length of a scope.
class OutputHold {
public:
    explicit OutputHold(Output& output) : output_(output) { output_.hold(); }
    OutputHold(const OutputHold&) = delete;
    OutputHold& operator=(const OutputHold&) = delete;
    ~OutputHold() { output_.release(); }

private:
    Output& output_;
};

}  // namespace vitrine::cli
