// What is said on standard error about how sure an answer is: the same words for every command.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "app/session.h"
#include "vitrine/query/table.h"

namespace vitrine::cli {

// The first few as notes, all with -v, and how many more there are. `count`: all that exist, those of severity info not counted.
// with_vm: says which guest each is about.
void tell_diagnostics(Session& session, std::span<const Diagnostic> diagnostics, std::uint64_t count, bool with_vm);

// "torn by the running guest, 2 retries, 120 rows"
[[nodiscard]] std::string walk_text(const WalkReport& report, std::uint64_t rows);
[[nodiscard]] std::string retries_text(unsigned retries);  // "1 retry"
// Neither whole nor stopped because nobody wanted more.
[[nodiscard]] bool ended_oddly(const WalkReport& report);
// ", at 0x..." where it ended oddly, or "".
[[nodiscard]] std::string place_text(const WalkReport& report);

}  // namespace vitrine::cli
