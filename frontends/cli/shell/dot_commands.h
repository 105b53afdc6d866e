// The shell's own commands: .help, .tables, ...
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace vitrine::cli {

struct ShellState;

enum class DotArgument : std::uint8_t { none, table, pattern, choice, file };

struct DotCommand {
    std::string_view name;   // ".mode"
    std::string_view value;  // what .help calls its argument; "" if it has none
    std::string_view doc;
    DotArgument argument = DotArgument::none;
    bool required = false;
    std::string_view choices = {};
    int (*run)(ShellState&, std::string_view argument) = nullptr;
};

[[nodiscard]] std::span<const DotCommand> dot_commands();
[[nodiscard]] const DotCommand* find_dot_command(std::string_view name);

// Reports what fails; returns the exit code.
int run_dot_command(ShellState& state, std::string_view line);

}  // namespace vitrine::cli
