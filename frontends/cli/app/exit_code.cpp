#include "app/exit_code.h"

#include <array>

namespace vitrine::cli {
namespace {

constexpr auto kExitCodes = std::to_array<ExitCodeSpec>({
    {kExitOk, "ok", "The question was answered."},
    {kExitUsage, "usage", "The command line makes no sense; nothing was read."},
    {kExitUnreachable, "guest unreachable",
     "No such virtual machine or file, no permission, not a machine or an image of one, a truncated image, or it ended "
     "while it was read."},
    {kExitUnsupported, "unsupported guest, or no kernel found",
     "The memory was read, but no kernel was found in it, or one that is not supported."},
    {kExitPartial, "unknown or partial",
     "What was asked for is not there or cannot be told, or reached a limit of time, rows or memory; with --strict "
     "also "
     "an answer that may be incomplete. A list of processes or symbols that is empty is always such a failure, because "
     "no guest has none."},
    {kExitInternal, "internal bug", "A defect of Vitrine: please report it."},
    {kExitOutput, "output not written", "Standard output could not be written (disk full, closed)."},
    {kExitInterrupted, "interrupted", "Interrupted from the keyboard."},
});

// The machine cannot be read (any more), as opposed to: it lacks what was asked for.
bool source_is_gone(const Error& error) {
    if (error.code == Errc::stale || error.code == Errc::permission) return true;
    return error.origin == Origin::source && error.code != Errc::unsupported && error.code != Errc::not_found &&
           error.code != Errc::not_recorded;
}

}  // namespace

std::span<const ExitCodeSpec> exit_codes() { return kExitCodes; }

ExitCode exit_code(const Error& error, Phase phase) {
    if (phase == Phase::target) return kExitUsage;
    if (phase == Phase::open) return kExitUnreachable;
    if (error.code == Errc::cancelled) return kExitInterrupted;
    if ((phase == Phase::sql || phase == Phase::query) && error.code == Errc::limit) return kExitPartial;
    if (phase == Phase::sql && error.code == Errc::usage) return kExitUsage;
    if (error.origin == Origin::user) return kExitUsage;  // a file or name the user gave beside the target
    if (error.code == Errc::usage && error.origin == Origin::types) return kExitUsage;  // a member path
    if (source_is_gone(error)) return kExitUnreachable;
    if (phase == Phase::attach) return kExitUnsupported;
    return error.code == Errc::unsupported && error.origin != Origin::source ? kExitUnsupported : kExitPartial;
}

}  // namespace vitrine::cli
