#include "vitrine/base/result.h"

#include <fmt/format.h>

namespace vitrine {

std::string_view to_string(Errc code) {
    switch (code) {
        case Errc::fault: return "no memory there";
        case Errc::not_present: return "page not present";
        case Errc::out_of_range: return "out of range";
        case Errc::malformed: return "malformed";
        case Errc::limit: return "limit reached";
        case Errc::cycle: return "cycle";
        case Errc::inconsistent: return "inconsistent";
        case Errc::unsupported: return "unsupported";
        case Errc::not_found: return "not found";
        case Errc::ambiguous: return "ambiguous";
        case Errc::io: return "input/output error";
        case Errc::permission: return "permission denied";
        case Errc::busy: return "busy";
        case Errc::timeout: return "timed out";
        case Errc::stale: return "target changed or ended";
        case Errc::usage: return "bad request";
        case Errc::cancelled: return "interrupted";
        case Errc::not_recorded: return "this page is not part of the recording";
    }
    return "unknown error";
}

std::string_view to_string(Origin origin) {
    switch (origin) {
        case Origin::source: return "source";
        case Origin::translate: return "address translation";
        case Origin::types: return "types";
        case Origin::symbols: return "symbols";
        case Origin::guest: return "guest";
        case Origin::table: return "table";
        case Origin::user: return "request";
    }
    return "unknown";
}

std::string Error::to_string() const {
    if (detail && !detail->text.empty()) {
        return has_address ? fmt::format("{} (at {:#x})", detail->text, address) : detail->text;
    }
    std::string text = *what != '\0' ? fmt::format("{}: {}", what, vitrine::to_string(code))
                                     : fmt::format("{}: {}", vitrine::to_string(origin), vitrine::to_string(code));
    if (has_address) text += fmt::format(" (at {:#x})", address);
    return text;
}

}  // namespace vitrine
