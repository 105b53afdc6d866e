#include "support/synthetic_guest_text.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <string_view>

namespace vitrine::test {

std::string GuestText::expected(const std::string& key, const std::string& otherwise) const {
    const auto found = expect.find(key);
    return found == expect.end() ? otherwise : found->second;
}

std::unique_ptr<SyntheticGuest> GuestText::make() const {
    auto made = std::make_unique<SyntheticGuest>(guest);
    for (const std::string& name : damages) damage_named(name)(*made);
    return made;
}

const Damage& GuestText::damage_named(const std::string& name) {
    const auto found = test::damages().find(name);
    if (found == test::damages().end()) throw std::runtime_error("no damage " + name);
    return found->second;
}

namespace {

// 16M, 0x1000, 12, 3G+0x800
std::uint64_t parse_size(std::string_view text) {
    std::uint64_t sum = 0;
    while (!text.empty()) {
        const std::size_t plus = std::min(text.find('+'), text.size());
        std::string_view part = text.substr(0, plus);
        text.remove_prefix(std::min(plus + 1, text.size()));
        unsigned shift = 0;
        switch (part.empty() ? ' ' : part.back()) {
            case 'K': shift = 10; break;
            case 'M': shift = 20; break;
            case 'G': shift = 30; break;
            case 'T': shift = 40; break;
            default: break;
        }
        if (shift != 0) part.remove_suffix(1);
        const bool hex = part.starts_with("0x");
        if (hex) part.remove_prefix(2);
        std::uint64_t value = 0;
        const auto [rest, error] = std::from_chars(part.data(), part.data() + part.size(), value, hex ? 16 : 10);
        if (error != std::errc{} || rest != part.data() + part.size())
            throw std::runtime_error("not a number: " + std::string(part));
        sum += value << shift;
    }
    return sum;
}
unsigned parse_unsigned(const std::string& text) { return static_cast<unsigned>(parse_size(text)); }

bool parse_yes(const std::string& text) {
    if (text != "yes" && text != "no") throw std::runtime_error("yes or no: " + text);
    return text == "yes";
}

// "0..16M, 4G..4G+64M"
std::vector<MemoryRange> parse_ranges(const std::string& text) {
    std::vector<MemoryRange> ranges;
    std::stringstream in(text);
    for (std::string part; std::getline(in, part, ',');) {
        std::erase(part, ' ');
        const std::size_t dots = part.find("..");
        if (dots == std::string::npos) throw std::runtime_error("not a range: " + part);
        const std::uint64_t start = parse_size(part.substr(0, dots));
        ranges.push_back({Gpa{start}, parse_size(part.substr(dots + 2)) - start});
    }
    return ranges;
}

const std::map<std::string, std::function<void(GuestDescription&, const std::string&)>>& guest_keys() {
    using D = GuestDescription;
    using S = const std::string&;
    static const std::map<std::string, std::function<void(D&, S)>> keys = {
        {"levels", [](D& d, S v) { d.levels = parse_unsigned(v); }},
        {"isolation", [](D& d, S v) { d.isolation = parse_yes(v); }},
        {"kallsyms", [](D& d, S v) { d.kallsyms = v; }},
        {"seqs", [](D& d, S v) { d.seqs = parse_unsigned(v); }},
        {"markers", [](D& d, S v) { d.markers = parse_unsigned(v); }},
        {"uleb", [](D& d, S v) { d.uleb = parse_yes(v); }},
        {"absolute_percpu", [](D& d, S v) { d.absolute_percpu = parse_yes(v); }},
        {"permissions", [](D& d, S v) { d.permissions = parse_yes(v); }},
        {"small_pages", [](D& d, S v) { d.small_pages = parse_yes(v); }},
        {"btf", [](D& d, S v) { d.btf = v; }},
        {"vmcoreinfo", [](D& d, S v) { d.vmcoreinfo = parse_yes(v); }},
        {"phys_base_symbol", [](D& d, S v) { d.phys_base_symbol = parse_yes(v); }},
        {"boot_clock", [](D& d, S v) { d.boot_clock = parse_yes(v); }},
        {"slide", [](D& d, S v) { d.slide = parse_size(v); }},
        {"text_pa", [](D& d, S v) { d.text_pa = parse_size(v); }},
        {"heap_pa", [](D& d, S v) { d.heap_pa = parse_size(v); }},
        {"ram", [](D& d, S v) { d.ram = parse_ranges(v); }},
        {"tasks", [](D& d, S v) { d.tasks = parse_unsigned(v); }},
        {"threads", [](D& d, S v) { d.threads = parse_unsigned(v); }},
        {"modules", [](D& d, S v) { d.modules = parse_unsigned(v); }},
        {"release", [](D& d, S v) { d.release = v; }},
        {"types.seed", [](D& d, S v) { d.types.seed = parse_unsigned(v); }},
        {"types.module_memory", [](D& d, S v) { d.types.module_memory = parse_yes(v); }},
        {"types.new_state_name", [](D& d, S v) { d.types.new_state_name = parse_yes(v); }},
        {"types.percpu_rss", [](D& d, S v) { d.types.percpu_rss = parse_yes(v); }},
        {"types.tk_data", [](D& d, S v) { d.types.tk_data = parse_yes(v); }},
        {"types.wide_tasks", [](D& d, S v) { d.types.wide_tasks = parse_yes(v); }},
        {"types.leave_out", [](D& d, S v) { d.types.leave_out = v; }},
    };
    return keys;
}

}  // namespace

GuestText parse_guest_text(const std::string& text) {
    GuestText result;
    std::stringstream in(text);
    for (std::string line; std::getline(in, line);) {
        line = line.substr(0, line.find('#'));
        const std::size_t equals = line.find('=');
        const auto trim = [](std::string s) {
            s.erase(0, std::min(s.find_first_not_of(" \t"), s.size()));
            s.erase(s.find_last_not_of(" \t\r") + 1);
            return s;
        };
        if (trim(line).empty()) continue;
        if (equals == std::string::npos) throw std::runtime_error("not key = value: " + line);
        const std::string key = trim(line.substr(0, equals));
        const std::string value = trim(line.substr(equals + 1));
        if (key.starts_with("expect.")) {
            result.expect[key.substr(7)] = value;
        } else if (key == "damage") {
            GuestText::damage_named(value);
            result.damages.push_back(value);
        } else if (const auto known = guest_keys().find(key); known != guest_keys().end()) {
            known->second(result.guest, value);
        } else {
            throw std::runtime_error("unknown key: " + line);
        }
    }
    return result;
}

GuestText load_guest_text(const std::filesystem::path& path) {
    std::ifstream in(path);
    std::stringstream text;
    text << in.rdbuf();
    if (!in) throw std::runtime_error("cannot read " + path.string());
    return parse_guest_text(text.str());
}

}  // namespace vitrine::test
