#include "sql/options.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace vitrine::cli {
namespace {

constexpr std::uint64_t kLongestSeconds = 1'000'000'000;
constexpr std::uint64_t kMostMebibytes = std::uint64_t{1} << 40;

}  // namespace

std::span<const OptionSpec> sql_options() {
    static constexpr auto kOptions = std::to_array<OptionSpec>({
        {"--paused", "", "", "pause all guests during each statement, then let them run on", ValueKind::flag},
        {"--strict", "", "", "exit with 5 if an answer may be incomplete", ValueKind::flag},
        {"--timeout", "", "SECONDS", "the longest a statement may take (default: 60)", ValueKind::number},
        {"--max-rows", "", "N", "the most rows an answer may have (default: 10000000)", ValueKind::number},
        {"--max-memory", "", "MIB", "the most memory a statement may take (default: 512)", ValueKind::number},
    });
    return kOptions;
}

OrExit<SqlSettings> sql_settings(Session& session, const Arguments& arguments) {
    SqlSettings settings;
    settings.paused = arguments.has("--paused");
    settings.strict = arguments.has("--strict");
    settings.timing = session.settings().timing;
    settings.tell = session.settings().verbose || session.messages().on_terminal();
    for (const char* name : {"--timeout", "--max-rows", "--max-memory"}) {
        if (arguments.number(name) == std::uint64_t{0}) {
            return tl::make_unexpected(session.usage(fmt::format("{} takes a number above 0", name)));
        }
    }
    if (const auto seconds = arguments.number("--timeout")) {
        settings.limits.time = std::chrono::seconds(std::min(*seconds, kLongestSeconds));
    }
    if (const auto rows = arguments.number("--max-rows")) settings.limits.rows = *rows;
    if (const auto mebibytes = arguments.number("--max-memory")) {
        settings.limits.memory = std::min(*mebibytes, kMostMebibytes) << 20;
    }
    return settings;
}

OrExit<std::string> read_sql(Session& session, int fd) {
    constexpr std::size_t kMost = std::size_t{16} << 20;
    std::string text;
    std::array<char, 65536> part;
    while (text.size() <= kMost) {
        const ssize_t got = read(fd, part.data(), part.size());
        if (got == 0) return text;
        if (got > 0) text.append(part.data(), static_cast<std::size_t>(got));
        else if (errno != EINTR) {
            return tl::make_unexpected(session.usage(fmt::format("cannot read SQL: {}", std::strerror(errno))));
        }
    }
    return tl::make_unexpected(session.usage("there are more than 16 MiB of SQL"));
}

}  // namespace vitrine::cli
