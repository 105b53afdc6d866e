#include "sources/qemu/option_text.h"

#include <cctype>
#include <charconv>
#include <nlohmann/json.hpp>

#include "sources/qmp/qmp_client.h"

namespace vitrine {

std::optional<std::uint64_t> parse_qemu_size(std::string_view text, std::uint64_t default_unit) {
    int base = 10;
    if (text.starts_with("0x") || text.starts_with("0X")) {
        base = 16;
        text.remove_prefix(2);
    }
    std::uint64_t whole = 0;
    const char* const last = text.data() + text.size();
    auto [at, error] = std::from_chars(text.data(), last, whole, base);
    if (error != std::errc()) return std::nullopt;
    // "1.5G": a decimal fraction (strtosz in QEMU's cutils.c). Six digits are more than anyone gives.
    std::uint64_t fraction = 0, scale = 1;
    if (base == 10 && at != last && *at == '.') {
        for (++at; at != last && *at >= '0' && *at <= '9'; ++at) {
            if (scale >= 1'000'000) continue;
            fraction = fraction * 10 + static_cast<std::uint64_t>(*at - '0');
            scale *= 10;
        }
    }
    std::uint64_t unit = default_unit;
    if (last - at == 1) {
        constexpr std::string_view kSuffixes = "bkmgtpe";
        const std::size_t power = kSuffixes.find(static_cast<char>(std::tolower(static_cast<unsigned char>(*at))));
        if (power == std::string_view::npos) return std::nullopt;
        unit = std::uint64_t{1} << (10 * power);
    } else if (at != last) {
        return std::nullopt;
    }
    std::uint64_t bytes = 0, part = 0;
    if (__builtin_mul_overflow(whole, unit, &bytes) || __builtin_mul_overflow(fraction, unit, &part) ||
        __builtin_add_overflow(bytes, part / scale, &bytes)) {
        return std::nullopt;
    }
    return bytes;
}

QemuOption parse_qemu_option(std::string_view text, std::string_view implied_key) {
    QemuOption option;
    bool first = true;
    for (std::size_t at = 0; at < text.size();) {
        std::string piece;
        for (; at < text.size(); ++at) {
            if (text[at] == ',') {
                if (at + 1 >= text.size() || text[at + 1] != ',') break;
                ++at;
            }
            piece += text[at];
        }
        ++at;  // the comma
        const std::size_t equals = piece.find('=');
        if (equals != std::string::npos) option.emplace(piece.substr(0, equals), piece.substr(equals + 1));
        else if (first && !implied_key.empty()) option.emplace(implied_key, piece);
        else if (!piece.empty()) option.emplace(piece, "on");
        first = false;
    }
    return option;
}

QemuOption parse_qemu_option_or_json(std::string_view text, std::string_view implied_key) {
    if (text.empty() || text.front() != '{') return parse_qemu_option(text, implied_key);
    QemuOption option;
    const auto object = parse_qmp_message(text);
    if (!object) return option;
    for (const auto& [key, value] : object->items()) {
        if (const auto* string = value.get_ptr<const std::string*>()) option.emplace(key, *string);
        else if (value.is_number() || value.is_boolean()) option.emplace(key, value.dump());
    }
    return option;
}

}  // namespace vitrine
