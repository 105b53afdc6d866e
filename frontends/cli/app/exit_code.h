// The program's exit codes, in one place: the mapping from errors and the table that --help, the man page and the tests share.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "vitrine/base/result.h"

namespace vitrine::cli {

enum ExitCode : int {
    kExitOk = 0,
    kExitUsage = 2,
    kExitUnreachable = 3,
    kExitUnsupported = 4,
    kExitPartial = 5,
    kExitInternal = 70,
    kExitOutput = 74,
    kExitInterrupted = 130,
};

struct ExitCodeSpec {
    ExitCode code;
    std::string_view brief;    // for --help
    std::string_view meaning;  // for the manual
};
[[nodiscard]] std::span<const ExitCodeSpec> exit_codes();

// What the program was doing when the error came up.
enum class Phase : std::uint8_t {
    target,  // reading the TARGET's text
    open,    // opening the machine
    attach,  // looking for the kernel
    query,   // answering
    sql,     // answering a statement that the user wrote
};
[[nodiscard]] ExitCode exit_code(const Error& error, Phase phase);

}  // namespace vitrine::cli
