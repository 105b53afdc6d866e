#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "sources/file/file_machine.h"
#include "sources/host/process.h"
#include "sources/kvm/kvm_machine.h"
#include "sources/qemu/qemu_machine.h"
#include "vitrine/machine/machine.h"

namespace vitrine {
namespace {

constexpr const char* kForms =
    "a target is qemu:PID, qemu:NAME, qmp:SOCKET, kvm:PID, or the path of a memory image (raw:PATH: never taken for "
    "anything but raw memory)";

struct Scheme {
    std::string_view prefix;
    TargetKind kind;
};
constexpr auto kSchemes = std::to_array<Scheme>({{"qemu:", TargetKind::qemu},
                                                 {"qmp:", TargetKind::qmp},
                                                 {"kvm:", TargetKind::kvm},
                                                 {"file:", TargetKind::file},
                                                 {"raw:", TargetKind::raw}});

Error usage(std::string text) { return Error::with_text(Errc::usage, Origin::user, std::move(text), kForms); }

// "kmv:123" is a slip of the pen, "./kmv:123" and "a/b:c" are paths.
bool looks_like_scheme(std::string_view text) {
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos || colon == 0) return false;
    const std::string_view word = text.substr(0, colon);
    return std::all_of(word.begin(), word.end(),
                       [](char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; });
}

Result<std::unique_ptr<Machine>> open_kvm(const std::string& text, const OpenOptions& options) {
    const auto pid = parse_decimal(text);
    if (!pid || *pid == 0 || *pid > (1u << 22)) return usage(fmt::format("'{}' is no process id", text));
    return open_kvm_machine(static_cast<pid_t>(*pid), options);
}

}  // namespace

Result<Target> parse_target(std::string_view text) {
    if (text.empty()) return usage("no target given");
    for (const Scheme& scheme : kSchemes) {
        if (!text.starts_with(scheme.prefix)) continue;
        const std::string_view rest = text.substr(scheme.prefix.size());
        if (rest.empty()) return usage(fmt::format("nothing follows '{}'", scheme.prefix));
        if (scheme.kind == TargetKind::kvm && !parse_decimal(rest))
            return usage(fmt::format("'{}' is no process id", rest));
        return Target{scheme.kind, std::string(rest)};
    }
    std::string path(text);
    if (looks_like_scheme(text) && ::access(path.c_str(), F_OK) != 0) {
        return usage(fmt::format("'{}' is neither a target nor a file", text));
    }
    return Target{TargetKind::file, std::move(path)};
}

std::string to_string(const Target& target) {
    switch (target.kind) {
        case TargetKind::qemu: return "qemu:" + target.text;
        case TargetKind::qmp: return "qmp:" + target.text;
        case TargetKind::kvm: return "kvm:" + target.text;
        // A path that would be read as something else keeps its prefix.
        case TargetKind::file: return looks_like_scheme(target.text) ? "file:" + target.text : target.text;
        case TargetKind::raw: return "raw:" + target.text;
    }
    return target.text;
}

Result<std::unique_ptr<Machine>> open_machine(const Target& target, const OpenOptions& options) {
    switch (target.kind) {
        case TargetKind::qemu: return open_qemu_by_text(target.text, options);
        case TargetKind::qmp: return open_qemu_by_socket(target.text, options);
        case TargetKind::kvm: return open_kvm(target.text, options);
        case TargetKind::file: return open_file_machine(target.text);
        case TargetKind::raw: return open_raw_machine(target.text);
    }
    return usage("unknown kind of target");
}

}  // namespace vitrine
