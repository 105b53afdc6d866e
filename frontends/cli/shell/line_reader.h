// Where the shell's lines come from: a terminal (line_editor.h), a pipe, or a file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vitrine::cli {

enum class LineEnd : std::uint8_t {
    line,         // one was read, without its line break
    end,          // there are no more
    interrupted,  // Ctrl-C
};

class LineReader {
public:
    LineReader() = default;
    LineReader(const LineReader&) = delete;
    LineReader& operator=(const LineReader&) = delete;
    virtual ~LineReader() = default;

    // so_far: the lines of the statement that this one continues; "" for the first.
    virtual LineEnd read(std::string_view so_far, std::string& line) = 0;
    // A statement or command that was entered.
    virtual void remember(std::string_view entry) = 0;
};

// Lines of a descriptor that is no terminal. It stays open.
class FileLines final : public LineReader {
public:
    explicit FileLines(int fd) : fd_(fd) {}
    LineEnd read(std::string_view so_far, std::string& line) override;
    void remember(std::string_view) override {}

private:
    static constexpr std::size_t kLongestLine = std::size_t{16} << 20;

    int fd_;
    bool ended_ = false;
    std::string buffer_;
};

}  // namespace vitrine::cli
