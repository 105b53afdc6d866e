#include "views/view_header.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/command.h"
#include "views/sql_scan.h"

namespace vitrine::cli {
namespace {

tl::unexpected<std::string> wrong(std::string text) { return tl::make_unexpected(std::move(text)); }

// Takes the first word off.
std::string_view next_word(std::string_view& text) {
    text = trimmed(text);
    const auto end = std::min(text.find_first_of(" \t"), text.size());
    const std::string_view word = text.substr(0, end);
    text = trimmed(text.substr(end));
    return word;
}

// "LEFT: RIGHT", neither empty.
std::optional<std::pair<std::string_view, std::string_view>> split_at(std::string_view text, std::string_view mark) {
    const auto at = text.find(mark);
    if (at == std::string_view::npos) return std::nullopt;
    const std::pair parts{trimmed(text.substr(0, at)), trimmed(text.substr(at + mark.size()))};
    if (parts.first.empty() || parts.second.empty()) return std::nullopt;
    return parts;
}

bool is_option_name(std::string_view name) { return name.starts_with("--") && is_view_name(name.substr(2)); }

std::optional<ViewValue> value_kind(std::string_view word) {
    constexpr std::pair<std::string_view, ViewValue> kKinds[] = {{"flag", ViewValue::flag},
                                                                 {"number", ViewValue::number},
                                                                 {"text", ViewValue::text},
                                                                 {"glob", ViewValue::glob},
                                                                 {"address", ViewValue::address}};
    for (const auto& [name, kind] : kKinds) {
        if (name == word) return kind;
    }
    return std::nullopt;
}

// Of an expression in one line of the header.
Checked check_expression(std::string_view sql, std::string_view what) {
    if (sql.find("--") != std::string_view::npos || sql.find("/*") != std::string_view::npos)
        return wrong(fmt::format("{} holds a comment", what));
    return check_piece(sql, what);
}

bool is_shared(std::string_view name) {
    for (const OptionGroup* group : {&kQueryGroup, &kOutputGroup, &kAccessGroup, &kGeneralGroup}) {
        for (const OptionSpec& option : group->options) {
            if (option.name == name || (!name.empty() && option.short_name == name)) return true;
        }
    }
    return false;
}

Checked once(std::string& place, std::string_view key, std::string_view text) {
    if (!place.empty()) return wrong(fmt::format("a second @{}", key));
    place = std::string(text);
    return {};
}

}  // namespace

std::string_view trimmed(std::string_view text) {
    const auto from = text.find_first_not_of(" \t\r\n");
    if (from == std::string_view::npos) return {};
    return text.substr(from, text.find_last_not_of(" \t\r\n") - from + 1);
}

Checked check_piece(std::string_view sql, std::string_view what) {
    const SqlScan scan = scan_sql(sql);
    if (scan.unended) return wrong(fmt::format("{} has a string or comment that does not end", what));
    int depth = 0;
    for (const SqlPiece& token : scan.pieces) {
        if (token.kind != SqlPiece::Kind::sign) continue;
        if (token.text == "(") ++depth;
        if (token.text == ")" && --depth < 0)
            return wrong(fmt::format("{} closes a parenthesis that is not open", what));
        if (token.text == ";") return wrong(fmt::format("{} holds a semicolon: a view is one statement", what));
        if (token.text == "?" || token.text == "@" || token.text == "#")
            return wrong(fmt::format("{} holds '{}': parameters are written :name", what, token.text));
    }
    if (depth > 0) return wrong(fmt::format("{} has a parenthesis that is not closed", what));
    return {};
}

Checked ViewHeader::line(std::string_view line) {
    if (!line.starts_with("--")) return {};
    std::string_view rest = trimmed(line.substr(2));
    if (!rest.starts_with("@")) return {};  // a comment
    const std::string_view key = next_word(rest).substr(1);
    if (key == "never-empty" || key == "registers" || key == "answered-by-program") return mark(key, rest);
    if (rest.empty()) return wrong(fmt::format("nothing follows @{}", key));
    if (key == "summary") return once(view_.summary, key, rest);
    if (key == "description") {
        view_.description += (view_.description.empty() ? "" : " ") + std::string(rest);
        return {};
    }
    if (key == "option") return option(rest);
    if (key == "where") return where(rest);
    if (key == "argument") return argument(rest);
    if (key == "columns") return columns(rest);
    if (key == "show") return show(rest);
    if (key == "sort") return once(view_.sort, key, rest);
    if (key == "example") return example(rest);
    return wrong(fmt::format("there is no @{}", key));
}

Checked ViewHeader::mark(std::string_view key, std::string_view rest) {
    if (!rest.empty()) return wrong(fmt::format("@{} takes nothing, not '{}'", key, rest));
    if (key == "never-empty") view_.never_empty = true;
    if (key == "registers") view_.needs_registers = true;
    if (key != "answered-by-program") return {};
    if (!built_in_) return wrong("@answered-by-program is for built-in views");
    if (view_.options.empty()) return wrong("@answered-by-program stands before any @option");
    view_.options.back().answered_by_program = true;
    return {};
}

// --pid -p number N: only the process with this id
Checked ViewHeader::option(std::string_view text) {
    const auto parts = split_at(text, ": ");
    if (!parts) return wrong("@option is --name [-n] KIND VALUE: what it does");
    ViewOption made;
    std::string_view left = parts->first;
    made.name = std::string(next_word(left));
    if (!is_option_name(made.name)) return wrong(fmt::format("'{}' is no name for an option", made.name));
    if (left.starts_with("-")) {
        made.short_name = std::string(next_word(left));
        if (made.short_name.size() != 2 || made.short_name[1] < 'a' || made.short_name[1] > 'z')
            return wrong(fmt::format("'{}' is no short name: - and one letter", made.short_name));
    }
    const std::string_view word = next_word(left);
    const auto kind = value_kind(word);
    if (!kind) return wrong(fmt::format("'{}' is no kind of value: flag, number, text, glob or address", word));
    made.kind = *kind;
    made.value = std::string(next_word(left));
    if (!left.empty()) return wrong(fmt::format("'{}' is too much before the colon", left));
    if ((made.kind == ViewValue::flag) != made.value.empty())
        return wrong("a flag takes no value, and every other kind names its own: number N");
    made.doc = std::string(parts->second);
    for (const std::string& name : {made.name, made.short_name}) {
        if (is_shared(name)) return wrong(fmt::format("every command has {} already", name));
    }
    for (const ViewOption& other : view_.options) {
        if (other.name == made.name || (!made.short_name.empty() && other.short_name == made.short_name))
            return wrong(fmt::format("a second option {}", other.name == made.name ? made.name : made.short_name));
    }
    view_.options.push_back(std::move(made));
    return {};
}

Checked ViewHeader::where(std::string_view sql) {
    if (view_.options.empty()) return wrong("@where stands before any @option");
    ViewOption& of = view_.options.back();
    if (auto good = check_expression(sql, "@where"); !good) return good;
    if (auto single = once(of.condition, "where", sql); !single)
        return wrong(fmt::format("a second @where for {}", of.name));
    for (const SqlPiece& token : scan_sql(sql).pieces) {
        if (token.kind == SqlPiece::Kind::parameter && token.text != of.parameter())
            return wrong(fmt::format("its parameter is :{}, not :{}", of.parameter(), token.text));
    }
    return {};
}

// PID --pid: only of this process
Checked ViewHeader::argument(std::string_view text) {
    const auto parts = split_at(text, ": ");
    std::string_view left = parts ? parts->first : std::string_view();
    ViewArgument made{std::string(next_word(left)), {}, parts ? std::string(parts->second) : std::string()};
    made.option = std::string(next_word(left));
    const bool is_upper = std::all_of(made.name.begin(), made.name.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
    if (!parts || made.name.empty() || !is_upper || made.name == "TARGET" || made.option.empty() || !left.empty())
        return wrong("@argument is NAME --option: what it does, with a NAME in capitals");
    const ViewOption* of = view_.find_option(made.option);
    if (of == nullptr) return wrong(fmt::format("there is no option {} before it", made.option));
    if (of->kind == ViewValue::flag) return wrong(fmt::format("{} takes no value", made.option));
    if (!view_.arguments.empty()) return wrong("a second @argument");
    view_.arguments.push_back(std::move(made));
    return {};
}

Checked ViewHeader::columns(std::string_view text) {
    if (!view_.columns.empty()) return wrong("a second @columns");
    while (!text.empty()) {
        const auto comma = std::min(text.find(','), text.size());
        const std::string_view name = trimmed(text.substr(0, comma));
        if (name.empty() || name.find_first_of("[]") != std::string_view::npos)
            return wrong("@columns is a list of names with commas between them");
        view_.columns.emplace_back(name);
        text.remove_prefix(std::min(comma + 1, text.size()));
    }
    return {};
}

// cmdline: coalesce(cmdline, name)
Checked ViewHeader::show(std::string_view text) {
    const auto parts = split_at(text, ": ");
    if (!parts || parts->first.find_first_of("[] \t") != std::string_view::npos)
        return wrong("@show is COLUMN: EXPRESSION");
    if (auto good = check_expression(parts->second, "@show"); !good) return good;
    for (const SqlPiece& token : scan_sql(parts->second).pieces) {
        if (token.kind == SqlPiece::Kind::parameter) return wrong("@show takes no parameters");
    }
    view_.shows.push_back({std::string(parts->first), std::string(parts->second)});
    return {};
}

Checked ViewHeader::example(std::string_view text) {
    const auto parts = split_at(text, " # ");
    if (!parts) return wrong("@example is COMMAND # what it does");
    view_.examples.push_back({std::string(parts->first), std::string(parts->second)});
    return {};
}

}  // namespace vitrine::cli
