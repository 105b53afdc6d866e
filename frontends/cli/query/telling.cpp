#include "query/telling.h"

#include <fmt/format.h>

namespace vitrine::cli {

void tell_diagnostics(Session& session, std::span<const Diagnostic> diagnostics, std::uint64_t count, bool with_vm) {
    constexpr std::size_t kShown = 5;
    std::uint64_t shown = 0;
    std::uint64_t skipped = 0;
    for (const Diagnostic& diagnostic : diagnostics) {
        if (diagnostic.severity == Severity::info && !session.settings().verbose) continue;
        if (shown == kShown && !session.settings().verbose) {
            ++skipped;
            continue;
        }
        const std::string vm = with_vm && !diagnostic.vm.empty() ? diagnostic.vm + ": " : std::string();
        session.messages().note(fmt::format("{}{}: {}", vm, diagnostic.table, diagnostic.text));
        ++shown;
    }
    if (count > shown + skipped) skipped = count - shown;
    if (skipped > 0) session.messages().note(fmt::format("{} more of this kind (-v shows more)", skipped));
}

std::string retries_text(unsigned retries) { return fmt::format("{} {}", retries, retries == 1 ? "retry" : "retries"); }

std::string walk_text(const WalkReport& report, std::uint64_t rows) {
    std::string text(to_string(report.end));
    if (report.retries > 0) text += ", " + retries_text(report.retries);
    return text + fmt::format(", {} rows", rows);
}

bool ended_oddly(const WalkReport& report) { return report.end != WalkEnd::complete && report.end != WalkEnd::stopped; }

std::string place_text(const WalkReport& report) {
    if (!ended_oddly(report) || report.last_address == 0) return {};
    return fmt::format(", at {:#x}", report.last_address);
}

}  // namespace vitrine::cli
