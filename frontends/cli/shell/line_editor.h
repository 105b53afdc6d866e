// Lines from a terminal, with editing, history and completion (libedit).
#pragma once

#include <cstdio>
#include <functional>
#include <memory>

#include "shell/completer.h"
#include "shell/line_reader.h"

namespace vitrine::cli {

class LineEditor final : public LineReader {
public:
    using Completer = std::function<Completion(std::string_view text, std::size_t cursor)>;
    // Prompts are written to out_fd. history_path: "" keeps none beyond this run. Null if the terminal cannot be used.
    static std::unique_ptr<LineEditor> open(int in_fd, int out_fd, const std::string& history_path,
                                            Completer completer);
    ~LineEditor() override;

    LineEnd read(std::string_view so_far, std::string& line) override;
    void remember(std::string_view entry) override;

private:
    struct Library;  // libedit's own
    explicit LineEditor(std::unique_ptr<Library> library);

    std::unique_ptr<Library> library_;
};

}  // namespace vitrine::cli
