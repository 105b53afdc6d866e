#include "render/json.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

#include "vitrine/base/text.h"

namespace vitrine::cli {
namespace {

struct CodePoint {
    std::uint32_t value;
    std::size_t length;
};

// text is valid UTF-8 and not empty.
CodePoint first_code_point(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
    const std::uint32_t lead = byte(0);
    if (lead < 0x80) return {lead, 1};
    if (lead < 0xe0) return {(lead & 0x1f) << 6 | (byte(1) & 0x3f), 2};
    if (lead < 0xf0) return {(lead & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f), 3};
    return {(lead & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f), 4};
}

bool must_be_escaped(std::uint32_t c) {
    if (c < 0x20 || c == '"' || c == '\\' || (c >= 0x7f && c <= 0x9f)) return true;
    return c == 0x061c || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xe0000 && c <= 0xe007f);
}

void escape(std::string& out, std::uint32_t c) {
    switch (c) {
        case '"': out += "\\\""; return;
        case '\\': out += "\\\\"; return;
        case '\n': out += "\\n"; return;
        case '\r': out += "\\r"; return;
        case '\t': out += "\\t"; return;
        default: break;
    }
    if (c < 0x10000) {
        fmt::format_to(std::back_inserter(out), "\\u{:04x}", c);
        return;
    }
    const std::uint32_t v = c - 0x10000;  // a surrogate pair
    fmt::format_to(std::back_inserter(out), "\\u{:04x}\\u{:04x}", 0xd800 + (v >> 10), 0xdc00 + (v & 0x3ff));
}

}  // namespace

std::string json_string(std::string_view bytes) {
    const std::string clean = to_valid_utf8(bytes);
    std::string out = "\"";
    out.reserve(clean.size() + 2);
    for (std::string_view left = clean; !left.empty();) {
        const CodePoint c = first_code_point(left);
        if (must_be_escaped(c.value)) escape(out, c.value);
        else out += left.substr(0, c.length);
        left.remove_prefix(c.length);
    }
    return out += '"';
}

std::string json_value(const Value& value) {
    struct Visitor {
        std::string operator()(std::monostate) const { return "null"; }
        std::string operator()(std::int64_t v) const { return fmt::format("{}", v); }
        std::string operator()(double v) const { return std::isfinite(v) ? fmt::format("{}", v) : "null"; }
        std::string operator()(AddressValue v) const { return fmt::format("\"{:#x}\"", v.value); }
        std::string operator()(const std::string& v) const { return json_string(v); }
    };
    return std::visit(Visitor{}, value);
}

void JsonWriter::line() {
    if (indent_ == 0) return;
    output_.write("\n");
    output_.write(std::string(indent_ * empty_.size(), ' '));
}

void JsonWriter::separate() {
    if (after_key_) {
        after_key_ = false;
        return;
    }
    if (empty_.empty()) return;
    if (!empty_.back()) output_.write(indent_ == 0 ? ", " : ",");
    empty_.back() = false;
    line();
}

void JsonWriter::raw(std::string_view token) {
    separate();
    output_.write(token);
}

void JsonWriter::key(std::string_view name) {
    separate();
    output_.write(json_string(name));
    output_.write(": ");
    after_key_ = true;
}

void JsonWriter::open(char bracket) {
    separate();
    output_.write(std::string_view(&bracket, 1));
    empty_.push_back(true);
}

void JsonWriter::close(char bracket) {
    const bool was_empty = empty_.back();
    empty_.pop_back();
    if (!was_empty) line();
    output_.write(std::string_view(&bracket, 1));
    if (empty_.empty()) output_.write("\n");
}

}  // namespace vitrine::cli
