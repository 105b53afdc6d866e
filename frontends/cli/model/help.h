// Texts made from the command model.
#pragma once

#include <string>
#include <string_view>

#include "model/command.h"
#include "views/view_command.h"

namespace vitrine::cli {

[[nodiscard]] std::string help_text(const OwnViews& own = {});     // vitrine --help
[[nodiscard]] std::string help_text(const Command& command);       // vitrine COMMAND --help
[[nodiscard]] std::string usage_line(const Command& command);      // "vitrine ps [OPTIONS] TARGET"
[[nodiscard]] std::string option_label(const OptionSpec& option);  // "-f, --format FORMAT"
[[nodiscard]] std::string option_doc(const OptionSpec& option);    // with the choices

[[nodiscard]] std::string man_page(std::string_view version);  // roff, vitrine(1)
[[nodiscard]] std::string commands_markdown();                 // docs/commands.md

// bash, zsh or fish; "" for any other shell.
[[nodiscard]] std::string completion_script(std::string_view shell);

}  // namespace vitrine::cli
