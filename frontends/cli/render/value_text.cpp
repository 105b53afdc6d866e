#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <ctime>

#include "render/row_writer.h"
#include "vitrine/base/text.h"

namespace vitrine::cli {
namespace {

// As in tables, but tabs and line breaks stay: a quoted field may hold them.
std::string csv_text(std::string_view bytes) {
    std::string out;
    while (!bytes.empty()) {
        const auto stop = std::min(bytes.find_first_of("\n\r\t"), bytes.size());
        out += to_terminal_text(bytes.substr(0, stop));
        if (stop < bytes.size()) out += bytes[stop];
        bytes.remove_prefix(std::min(stop + 1, bytes.size()));
    }
    return out;
}

// Spreadsheets run such a field as a formula, and the text is the guest's. An apostrophe makes it text; one is put before
// texts that begin with an apostrophe too, so that taking one away is always right.
bool needs_apostrophe(std::string_view text) {
    return !text.empty() && std::string_view("=+-@\t\r'").find(text.front()) != std::string_view::npos;
}

}  // namespace

std::string size_text(std::uint64_t bytes) {
    static constexpr std::array<std::string_view, 7> kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1024 && unit + 1 < kUnits.size()) {
        value /= 1024;
        ++unit;
    }
    const bool whole = value == std::floor(value);
    return whole ? fmt::format("{:.0f} {}", value, kUnits[unit]) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string time_text(std::int64_t seconds) {
    const std::time_t time = seconds;
    std::tm parts{};
    // Years beyond 9999 are a guest's nonsense: shown as the number that they are.
    if (seconds < 0 || gmtime_r(&time, &parts) == nullptr || parts.tm_year > 9999 - 1900)
        return fmt::format("{}", seconds);
    return fmt::format("{:%Y-%m-%d %H:%M:%S}", parts);
}

Hint hint_of(Unit unit) {
    if (unit == Unit::bytes) return Hint::bytes;
    return unit == Unit::epoch_seconds ? Hint::time : Hint::none;
}

std::string table_text(const Value& value, Hint hint) {
    struct Visitor {
        Hint hint;
        std::string operator()(std::monostate) const { return "-"; }
        std::string operator()(std::int64_t v) const {
            if (hint == Hint::bytes && v >= 0) return size_text(static_cast<std::uint64_t>(v));
            if (hint == Hint::time) return time_text(v);
            return fmt::format("{}", v);
        }
        std::string operator()(double v) const { return fmt::format("{}", v); }
        std::string operator()(AddressValue v) const { return fmt::format("{:#x}", v.value); }
        std::string operator()(const std::string& v) const { return to_terminal_text(v); }
    };
    return std::visit(Visitor{hint}, value);
}

std::string csv_field(const Value& value) {
    if (std::holds_alternative<std::monostate>(value)) return {};
    if (!std::holds_alternative<std::string>(value)) return table_text(value, Hint::none);
    std::string text = csv_text(std::get<std::string>(value));
    if (needs_apostrophe(text)) text.insert(0, 1, '\'');
    if (text.empty()) return "\"\"";  // an empty text is not NULL
    const bool edge_space = text.front() == ' ' || text.back() == ' ';
    if (!edge_space && text.find_first_of("\",\n\r") == std::string::npos) return text;
    std::string quoted = "\"";
    for (const char c : text) {
        if (c == '"') quoted += '"';
        quoted += c;
    }
    return quoted += '"';
}

}  // namespace vitrine::cli
