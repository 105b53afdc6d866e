#include "sources/registers/info_registers.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace vitrine {

namespace {

constexpr std::size_t kMaxVcpus = 4096;
constexpr std::size_t kMaxText = std::size_t{8} << 20;

// The order of VcpuState::gpr.
constexpr std::string_view kGpr64[16] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
                                         "R8",  "R9",  "R10", "R11", "R12", "R13", "R14", "R15"};
constexpr std::string_view kGpr32[8] = {"EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI"};

enum class Seen : std::uint32_t { cr0 = 16, cr2, cr3, cr4, efer, rip, rflags, cs, fs, gs, gdt, idt };
constexpr std::uint32_t bit(Seen s) { return 1u << static_cast<std::uint32_t>(s); }

struct Parsed {
    VcpuState state;
    std::uint32_t seen = 0;  // bits 0 to 15: general registers
    bool wide = false;       // the general registers came in the 64-bit form
};

std::string_view next_line(std::string_view& text) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    return line;
}

// The hex number at the start of the text, which is taken off; nullopt unless so many digits (or twice as many, where both
// widths are printed) end at a blank.
enum class Width : std::uint8_t { four = 4, eight = 8, sixteen = 16, eight_or_sixteen = 24 };
bool is_width(std::size_t digits, Width width) {
    if (width == Width::eight_or_sixteen) return digits == 8 || digits == 16;
    return digits == static_cast<std::size_t>(width);
}
std::optional<std::uint64_t> take_hex(std::string_view& text, Width width) {
    const std::size_t length = std::min(text.find(' '), text.size());
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + length, value, 16);
    if (!is_width(length, width) || error != std::errc() || end != text.data() + length) return std::nullopt;
    text.remove_prefix(length);
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    return value;
}

// "NAME=" or "NAME =" at the start of the text, taken off with the blanks that follow; empty when there is none.
std::string_view take_name(std::string_view& text) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    std::size_t length = 0;
    while (length < text.size() &&
           ((text[length] >= 'A' && text[length] <= 'Z') || (text[length] >= '0' && text[length] <= '9')))
        ++length;
    std::size_t after = length;
    while (after < text.size() && text[after] == ' ') ++after;
    if (length == 0 || after >= text.size() || text[after] != '=') return {};
    const std::string_view name = text.substr(0, length);
    text.remove_prefix(after + 1);
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    return name;
}

class BlockParser {
public:
    // False: malformed.
    bool line(std::string_view text) {
        while (!text.empty()) {
            const std::string_view name = take_name(text);
            if (name.empty()) return true;  // decoded flags and the like behind the values
            if (!field(name, text)) return false;
            // Behind a value come other fields, or words until the next blank-separated NAME=.
            while (!text.empty() && !starts_field(text)) {
                const std::size_t word = std::min(text.find(' '), text.size());
                text.remove_prefix(word);
                text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
            }
        }
        return true;
    }

    [[nodiscard]] std::optional<VcpuState> finish() const {
        const std::uint32_t general = parsed_.wide ? 0xffffu : 0x00ffu;
        const std::uint32_t needed = general | (bit(Seen::idt) * 2 - bit(Seen::cr0));
        if ((parsed_.seen & needed) != needed) return std::nullopt;
        return parsed_.state;
    }

private:
    static bool starts_field(std::string_view text) { return !take_name(text).empty(); }

    bool mark(std::uint32_t what) {
        if ((parsed_.seen & what) != 0) return false;
        parsed_.seen |= what;
        return true;
    }

    bool number(std::string_view& text, Seen what, std::uint64_t& out, Width width = Width::eight_or_sixteen) {
        const auto value = take_hex(text, width);
        if (!value || !mark(bit(what))) return false;
        out = *value;
        return true;
    }

    // "SELECTOR base limit flags"
    bool segment(std::string_view& text, Seen what, std::uint64_t* base, std::uint16_t* selector) {
        const auto given = take_hex(text, Width::four);
        const auto start = take_hex(text, Width::eight_or_sixteen);
        const auto limit = take_hex(text, Width::eight);
        if (!given || !start || !limit || !mark(bit(what))) return false;
        if (base != nullptr) *base = *start;
        if (selector != nullptr) *selector = static_cast<std::uint16_t>(*given);
        return true;
    }

    bool table(std::string_view& text, Seen what, DescriptorTable& out) {
        const auto base = take_hex(text, Width::eight_or_sixteen);
        const auto limit = take_hex(text, Width::eight);
        if (!base || !limit || !mark(bit(what))) return false;
        out = {*base, static_cast<std::uint32_t>(*limit)};
        return true;
    }

    bool general(std::string_view name, std::string_view& text, bool& found) {
        found = false;
        const bool wide = name.front() == 'R';
        const auto* names = wide ? kGpr64 : kGpr32;
        const std::size_t count = wide ? std::size(kGpr64) : std::size(kGpr32);
        for (std::size_t i = 0; i < count; ++i) {
            if (name != names[i]) continue;
            found = true;
            const auto value = take_hex(text, wide ? Width::sixteen : Width::eight);
            if (!value || !mark(1u << i)) return false;
            parsed_.state.gpr[i] = *value;
            parsed_.wide = parsed_.wide || wide;
            return true;
        }
        return true;
    }

    bool field(std::string_view name, std::string_view& text) {
        VcpuState& s = parsed_.state;
        if (name == "CR0") return number(text, Seen::cr0, s.cr0);
        if (name == "CR2") return number(text, Seen::cr2, s.cr2);
        if (name == "CR3") return number(text, Seen::cr3, s.cr3);
        if (name == "CR4") return number(text, Seen::cr4, s.cr4);
        if (name == "EFER") return number(text, Seen::efer, s.efer, Width::sixteen);
        if (name == "RIP") return number(text, Seen::rip, s.rip, Width::sixteen);
        if (name == "EIP") return number(text, Seen::rip, s.rip, Width::eight);
        if (name == "RFL" || name == "EFL") return number(text, Seen::rflags, s.rflags);
        if (name == "CS") return segment(text, Seen::cs, nullptr, &s.cs);
        if (name == "FS") return segment(text, Seen::fs, &s.fs_base, nullptr);
        if (name == "GS") return segment(text, Seen::gs, &s.gs_base, nullptr);
        if (name == "GDT") return table(text, Seen::gdt, s.gdt);
        if (name == "IDT") return table(text, Seen::idt, s.idt);
        bool found = false;
        return general(name, text, found);  // any other name is of no interest
    }

    Parsed parsed_;
};

}  // namespace

Result<std::vector<VcpuState>> parse_info_registers(std::string_view text) {
    if (text.size() > kMaxText) return Error::make(Errc::limit, Origin::source, "register dump");
    const auto malformed = [] { return Error::make(Errc::malformed, Origin::source, "register dump of the monitor"); };
    std::vector<VcpuState> states;
    std::optional<BlockParser> block;
    std::uint32_t index = 0;
    const auto close_block = [&] {
        if (!block) return true;
        auto state = block->finish();
        if (!state) return false;
        state->index = index;
        states.push_back(*state);
        block.reset();
        return true;
    };
    while (!text.empty()) {
        std::string_view line = next_line(text);
        if (line.starts_with("CPU#")) {
            if (!close_block() || states.size() == kMaxVcpus) return malformed();
            const std::string_view digits = line.substr(4);
            const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index, 10);
            if (error != std::errc() || end != digits.data() + digits.size()) return malformed();
            block.emplace();
        } else if (block && !block->line(line)) {
            return malformed();
        }
    }
    if (!close_block() || states.empty()) return malformed();
    std::sort(states.begin(), states.end(), [](const VcpuState& a, const VcpuState& b) { return a.index < b.index; });
    for (std::size_t i = 1; i < states.size(); ++i) {
        if (states[i].index == states[i - 1].index) return malformed();
    }
    return states;
}

}  // namespace vitrine
