#include "views/sql_scan.h"

#include <fmt/format.h>

#include <algorithm>

#include "sql/tokens.h"

namespace vitrine::cli {
SqlScan scan_sql(std::string_view sql) {
    SqlScan scan;
    const std::vector<SqlToken> tokens = sql_tokens(sql);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        const SqlToken& token = tokens[i];
        const SqlToken* next = i + 1 < tokens.size() ? &tokens[i + 1] : nullptr;
        const auto is_word = [](SqlTokenKind kind) {
            return kind == SqlTokenKind::word || kind == SqlTokenKind::number;
        };
        if (token.open && !token.text.starts_with("--")) {
            scan.unended = token.begin;
            return scan;
        }
        if (token.kind == SqlTokenKind::comment) continue;
        if (token.text == ":" && next != nullptr && is_word(next->kind) && next->begin == token.begin + 1) {
            scan.pieces.push_back({SqlPiece::Kind::parameter, next->text, token.begin});
            ++i;
        } else if (token.kind == SqlTokenKind::symbol) {
            scan.pieces.push_back({SqlPiece::Kind::sign, token.text, token.begin});
        } else {
            scan.pieces.push_back(
                {is_word(token.kind) ? SqlPiece::Kind::word : SqlPiece::Kind::quoted, token.text, token.begin});
        }
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
