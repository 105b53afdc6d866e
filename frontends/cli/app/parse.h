// From the words of the command line to a command and its checked arguments. Prints nothing.
#pragma once

#include <span>
#include <string>
#include <tl/expected.hpp>

#include "model/command.h"
#include "views/view_command.h"

namespace vitrine::cli {

struct Parsed {
    const Command* command = nullptr;  // null: none was named
    Arguments arguments;
};

struct UsageError {
    std::string text;
    std::string hint;
};

// words: without the program's name. own: the user's views, commands as well; they outlive what is returned. With
// --help or --version among them required arguments may be missing.
tl::expected<Parsed, UsageError> parse_command_line(std::span<const std::string> words, const OwnViews& own = {});

}  // namespace vitrine::cli
