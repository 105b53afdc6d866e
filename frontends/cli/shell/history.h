// Where the shell keeps what was entered: vitrine/history below $XDG_STATE_HOME (default: ~/.local/state).
#pragma once

#include <string>

namespace vitrine::cli {

// The path of a file that exists and that only its owner can read, made if need be; "" if there can be none.
[[nodiscard]] std::string prepare_history_file();

}  // namespace vitrine::cli
