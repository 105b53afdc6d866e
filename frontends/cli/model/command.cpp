#include "model/command.h"

#include <array>
#include <charconv>

namespace vitrine::cli {
namespace {

constexpr auto kQueryOptions = std::to_array<OptionSpec>({
    {"--columns", "", "A,B,...", "show these columns, in this order (all: every column)", ValueKind::text},
    {"--sort", "", "COLUMN", "order rows by a column; COLUMN:desc for falling order", ValueKind::text},
    {"--paused", "", "", "pause the guest while reading, then let it run on", ValueKind::flag},
    {"--strict", "", "", "exit with 5 if the answer may be incomplete", ValueKind::flag},
});

constexpr auto kOutputOptions = std::to_array<OptionSpec>({
    {"--format", "-f", "FORMAT", "how to write the answer", ValueKind::choice, "table|json|ndjson|csv|markdown"},
    {"--color", "", "WHEN", "colour in tables; NO_COLOR in the environment means never", ValueKind::choice,
     "auto|always|never"},
    {"--no-header", "", "", "leave out the line of column names (table, csv)", ValueKind::flag},
    {"--width", "", "N", "fit the answer into N columns, 0: never cut (default: the terminal's width)",
     ValueKind::number},
});

constexpr auto kAccessOptions = std::to_array<OptionSpec>({
    {"--no-registers", "", "", "find the kernel by memory alone; run nothing in the monitor", ValueKind::flag},
    {"--no-qmp", "", "", "never connect to a QMP socket", ValueKind::flag},
    {"--symbols", "", "VMLINUX", "take types from the DWARF of this kernel file", ValueKind::path},
    {"--no-cache", "", "", "neither use nor write the cache of decoded kernels", ValueKind::flag},
    {"--cache-dir", "", "DIR", "keep the cache here (default: ~/.cache/vitrine)", ValueKind::directory},
    {"--timing", "", "", "print on stderr how long attaching and reading took", ValueKind::flag},
});

constexpr auto kGeneralOptions = std::to_array<OptionSpec>({
    {"--verbose", "-v", "", "more on stderr: every note, refused kernels", ValueKind::flag},
    {"--help", "-h", "", "show help and exit", ValueKind::flag},
    {"--version", "-V", "", "show the version and exit", ValueKind::flag},
});

}  // namespace

const OptionGroup kQueryGroup{"Rows", kQueryOptions};
const OptionGroup kOutputGroup{"Output", kOutputOptions};
const OptionGroup kAccessGroup{"Access", kAccessOptions};
const OptionGroup kGeneralGroup{"General", kGeneralOptions};

const ArgumentSpec kTargetArgument{"TARGET",
                                   "qemu:PID, qemu:NAME, qmp:SOCKET, kvm:PID, raw:PATH, or the path of a memory image",
                                   ArgumentKind::target};

std::string_view Arguments::text(std::string_view name) const {
    const auto found = values_.find(name);
    return found == values_.end() ? std::string_view() : std::string_view(found->second.back());
}

std::span<const std::string> Arguments::list(std::string_view name) const {
    const auto found = values_.find(name);
    return found == values_.end() ? std::span<const std::string>() : std::span<const std::string>(found->second);
}

std::optional<std::uint64_t> Arguments::number(std::string_view name) const {
    return has(name) ? parse_number(text(name)) : std::nullopt;
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
    int base = 10;
    if (text.starts_with("0x") || text.starts_with("0X")) {
        text.remove_prefix(2);
        base = 16;
    }
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

const Command* find_command(std::string_view name) {
    for (const Command* command : all_commands()) {
        if (command->name == name) return command;
    }
    return nullptr;
}

}  // namespace vitrine::cli
