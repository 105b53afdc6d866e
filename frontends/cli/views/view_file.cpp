// Reading a view's file: a header of comment lines, then one SELECT.
#include <fmt/format.h>

#include <algorithm>

#include "views/sql_scan.h"
#include "views/view_header.h"
#include "vitrine/base/text.h"

namespace vitrine::cli {
namespace {

constexpr std::size_t kLongestFile = 64 * 1024;
constexpr std::size_t kLongestName = 32;

tl::unexpected<std::string> wrong(std::string text) { return tl::make_unexpected(std::move(text)); }

class Reader {
public:
    Reader(std::string_view name, bool built_in) : header_(view_, built_in) { view_.name = std::string(name); }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    ~Reader() = default;

    tl::expected<View, ViewMistake> read(std::string_view text) {
        if (auto readable = check_text(text); !readable) return tl::make_unexpected(std::move(readable).error());
        std::size_t at = 0;
        while (at < text.size()) {
            const auto end = std::min(text.find('\n', at), text.size());
            const std::string_view line = trimmed(text.substr(at, end - at));
            if (!line.empty() && !line.starts_with("--")) break;
            if (auto taken = header_.line(line); !taken) return mistake(std::move(taken).error());
            at = std::min(end + 1, text.size());
            if (end < text.size()) ++line_;
        }
        if (auto taken = statement(text.substr(at)); !taken) return mistake(std::move(taken).error());
        if (auto whole = check_whole(); !whole) return mistake(std::move(whole).error());
        return std::move(view_);
    }

private:
    [[nodiscard]] tl::unexpected<ViewMistake> mistake(std::string text) const {
        return tl::make_unexpected(ViewMistake{line_, std::move(text)});
    }

    static tl::expected<void, ViewMistake> check_text(std::string_view text) {
        if (text.size() > kLongestFile)
            return tl::make_unexpected(ViewMistake{1, fmt::format("is longer than {} KiB", kLongestFile / 1024)});
        const bool is_utf8 = to_valid_utf8(text) == text;
        std::size_t line = 1;
        for (const char c : text) {
            if (c == '\n') ++line;
            const auto byte = static_cast<unsigned char>(c);
            if ((byte < 0x20 && c != '\n' && c != '\t' && c != '\r') || byte == 0x7f)
                return tl::make_unexpected(ViewMistake{line, fmt::format("holds a control character ({:#04x})", byte)});
        }
        if (is_utf8) return {};
        std::size_t from = 0;
        for (line = 1; from < text.size();
             ++line) {  // none of the lines can hold more than a part of what is not UTF-8
            const auto end = std::min(text.find('\n', from), text.size());
            const std::string_view one = text.substr(from, end - from);
            if (to_valid_utf8(one) != one) break;
            from = end + 1;
        }
        return tl::make_unexpected(ViewMistake{line, "is not UTF-8 text"});
    }

    // Mistakes in it are told at the line they begin in.
    Checked statement(std::string_view sql) {
        const std::size_t first_line = line_;
        const auto line_of = [&](std::size_t at) {
            return first_line + static_cast<std::size_t>(
                                    std::count(sql.begin(), sql.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
        };
        SqlScan scan = scan_sql(sql);
        if (scan.unended) {
            line_ = line_of(*scan.unended);
            return wrong("a string or comment begins here and does not end");
        }
        if (!scan.pieces.empty() && scan.pieces.back().text == ";" && scan.pieces.back().kind == SqlPiece::Kind::sign) {
            sql = sql.substr(0, scan.pieces.back().at);
            scan.pieces.pop_back();
        }
        if (scan.pieces.empty()) return wrong("there is no SELECT");
        if (!is_select(scan.pieces.front().text))
            return wrong(fmt::format("a view is a SELECT, not '{}'", scan.pieces.front().text));
        for (const SqlPiece& token : scan.pieces) {
            line_ = line_of(token.at);
            const bool known = std::any_of(view_.options.begin(), view_.options.end(),
                                           [&](const ViewOption& option) { return option.parameter() == token.text; });
            if (token.kind == SqlPiece::Kind::parameter && !known)
                return wrong(fmt::format("no option gives the parameter :{}", token.text));
            if (token.kind == SqlPiece::Kind::sign && token.text == ";")
                return wrong("a view is one statement: something follows the semicolon");
        }
        line_ = first_line;
        view_.sql = std::string(trimmed(sql));
        if (auto good = check_piece(view_.sql, "the SELECT"); !good) return good;
        note_table(scan.pieces);
        return unused_option(scan.pieces);
    }

    static bool is_select(std::string_view word) {
        std::string upper(word);
        for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
        return upper == "SELECT" || upper == "WITH" || upper == "VALUES";
    }

    void note_table(const std::vector<SqlPiece>& tokens) {
        const bool plain = tokens.size() == 4 && tokens[1].text == "*" && is_word(tokens[2], "FROM") &&
                           tokens[3].kind == SqlPiece::Kind::word && is_word(tokens[0], "SELECT");
        if (plain) view_.table = std::string(tokens[3].text);
    }
    static bool is_word(const SqlPiece& token, std::string_view upper) {
        return token.kind == SqlPiece::Kind::word &&
               std::equal(token.text.begin(), token.text.end(), upper.begin(), upper.end(),
                          [](char a, char b) { return (a >= 'a' && a <= 'z' ? a - 'a' + 'A' : a) == b; });
    }

    [[nodiscard]] Checked unused_option(const std::vector<SqlPiece>& tokens) const {
        for (const ViewOption& option : view_.options) {
            const bool used = std::any_of(tokens.begin(), tokens.end(), [&](const SqlPiece& token) {
                return token.kind == SqlPiece::Kind::parameter && token.text == option.parameter();
            });
            if (!used && option.condition.empty() && !option.answered_by_program) {
                return wrong(fmt::format("{} does nothing: it has no @where, and :{} is not in the SELECT", option.name,
                                         option.parameter()));
            }
        }
        return {};
    }

    Checked check_whole() {
        line_ = 1;
        if (!is_view_name(view_.name))
            return wrong("a view's file is named as its command: a-z, 0-9, - and _, a letter first, at most 32");
        if (view_.summary.empty()) return wrong("there is no @summary");
        return {};
    }

    View view_;
    ViewHeader header_;
    std::size_t line_ = 1;
};

}  // namespace

std::string ViewOption::parameter() const {
    std::string text = name.substr(std::min<std::size_t>(2, name.size()));
    std::replace(text.begin(), text.end(), '-', '_');
    return text;
}

const ViewOption* View::find_option(std::string_view option) const {
    for (const ViewOption& own : options) {
        if (own.name == option) return &own;
    }
    return nullptr;
}

bool is_view_name(std::string_view name) {
    const auto good = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'; };
    return !name.empty() && name.size() <= kLongestName && name[0] >= 'a' && name[0] <= 'z' &&
           std::all_of(name.begin(), name.end(), good);
}

tl::expected<View, ViewMistake> parse_view(std::string_view name, std::string_view text, bool built_in) {
    return Reader(name, built_in).read(text);
}

}  // namespace vitrine::cli
