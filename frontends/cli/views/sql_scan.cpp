#include "views/sql_scan.h"

#include <fmt/format.h>

#include <algorithm>

namespace vitrine::cli {
namespace {

bool is_word_byte(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x80 || c == '_' || c == '$' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z');
}

// The end of what begins at `at` and ends with `close`; a doubled quote stands for itself. npos: it does not end.
std::size_t end_of_quoted(std::string_view sql, std::size_t at, char close) {
    for (std::size_t i = at + 1; i < sql.size(); ++i) {
        if (sql[i] != close) continue;
        if (close != ']' && i + 1 < sql.size() && sql[i + 1] == close) {
            ++i;
            continue;
        }
        return i + 1;
    }
    return std::string_view::npos;
}

// The end of a comment; `at` if there is none.
std::size_t end_of_comment(std::string_view sql, std::size_t at) {
    if (sql.substr(at, 2) == "--") return std::min(sql.find('\n', at), sql.size());
    if (sql.substr(at, 2) != "/*") return at;
    const auto end = sql.find("*/", at + 2);
    return end == std::string_view::npos ? end : end + 2;
}

}  // namespace

SqlScan scan_sql(std::string_view sql) {
    SqlScan scan;
    for (std::size_t at = 0; at < sql.size();) {
        const char c = sql[at];
        std::size_t end = end_of_comment(sql, at);
        if (end == at && (c == '\'' || c == '"' || c == '`' || c == '[')) {
            end = end_of_quoted(sql, at, c == '[' ? ']' : c);
            scan.pieces.push_back({SqlPiece::Kind::quoted, sql.substr(at, end - at), at});
        } else if (end == at && c == ':' && at + 1 < sql.size() && is_word_byte(sql[at + 1])) {
            end = at + 1;
            while (end < sql.size() && is_word_byte(sql[end])) ++end;
            scan.pieces.push_back({SqlPiece::Kind::parameter, sql.substr(at + 1, end - at - 1), at});
        } else if (end == at && is_word_byte(c)) {
            while (end < sql.size() && is_word_byte(sql[end])) ++end;
            scan.pieces.push_back({SqlPiece::Kind::word, sql.substr(at, end - at), at});
        } else if (end == at) {
            end = at + 1;
            if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
                scan.pieces.push_back({SqlPiece::Kind::sign, sql.substr(at, 1), at});
        }
        if (end == std::string_view::npos) {
            scan.unended = at;
            return scan;
        }
        at = end;
    }
    return scan;
}

std::string number_parameters(std::string_view sql, std::vector<std::string>& order) {
    std::string text;
    std::size_t copied = 0;
    for (const SqlPiece& token : scan_sql(sql).pieces) {
        if (token.kind != SqlPiece::Kind::parameter) continue;
        auto found = std::find(order.begin(), order.end(), token.text);
        if (found == order.end()) found = order.insert(order.end(), std::string(token.text));
        text += sql.substr(copied, token.at - copied);
        text += fmt::format("?{}", found - order.begin() + 1);
        copied = token.at + 1 + token.text.size();
    }
    return text += sql.substr(copied);
}

std::string sql_glob(std::string_view pattern) {
    std::string text;
    // A byte that means itself; ] outside of a set does so anyway.
    const auto literal = [&text](char c) {
        if (c == '*' || c == '?' || c == '[') text += {'[', c, ']'};
        else text += c;
    };
    for (std::size_t at = 0; at < pattern.size(); ++at) {
        const char c = pattern[at];
        if (c == '\\' && at + 1 < pattern.size()) {
            literal(pattern[++at]);
        } else if (c == '[') {
            const std::size_t close = pattern.find(']', at + 2);
            if (close == std::string_view::npos) {
                literal(c);
                continue;
            }
            text += '[';
            if (pattern[at + 1] == '!' || pattern[at + 1] == '^') {
                text += '^';
                ++at;
            }
            text += pattern.substr(at + 1, close - at);
            at = close;
        } else {
            text += c;
        }
    }
    return text;
}

std::string sql_name(std::string_view name) {
    std::string quoted = "\"";
    for (const char c : name) quoted += c == '"' ? std::string(2, c) : std::string(1, c);
    return quoted + '"';
}

}  // namespace vitrine::cli
