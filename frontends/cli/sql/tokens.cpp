#include "sql/tokens.h"

#include <algorithm>

#include "vitrine/query/database.h"

namespace vitrine::cli {
namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// Bytes beyond ASCII are letters, as SQLite has it.
bool is_word_character(char c) {
    const char l = lower(c);
    return (l >= 'a' && l <= 'z') || is_digit(c) || c == '_' || c == '$' || static_cast<unsigned char>(c) >= 0x80;
}

struct Extent {
    std::size_t end = 0;
    bool open = false;
};

// From `begin` up to and including the closing text.
Extent up_to(std::string_view sql, std::size_t from, std::string_view closing) {
    const auto at = sql.find(closing, from);
    return at == std::string_view::npos ? Extent{sql.size(), true} : Extent{at + closing.size(), false};
}

// A doubled quote stands for itself.
Extent quoted(std::string_view sql, std::size_t begin, char quote) {
    for (std::size_t at = begin + 1; at < sql.size(); ++at) {
        if (sql[at] != quote) continue;
        if (at + 1 == sql.size() || sql[at + 1] != quote) return {at + 1, false};
        ++at;
    }
    return {sql.size(), true};
}

SqlToken token_at(std::string_view sql, std::size_t begin) {
    const char c = sql[begin];
    const std::string_view rest = sql.substr(begin);
    SqlTokenKind kind = SqlTokenKind::symbol;
    Extent extent{begin + 1, false};
    if (rest.starts_with("--")) {
        kind = SqlTokenKind::comment;
        extent = up_to(sql, begin, "\n");
    } else if (rest.starts_with("/*")) {
        kind = SqlTokenKind::comment;
        extent = up_to(sql, begin + 2, "*/");
    } else if (c == '\'') {
        kind = SqlTokenKind::text;
        extent = quoted(sql, begin, c);
    } else if (c == '"' || c == '`') {
        kind = SqlTokenKind::identifier;
        extent = quoted(sql, begin, c);
    } else if (c == '[') {
        kind = SqlTokenKind::identifier;
        extent = up_to(sql, begin, "]");
    } else if (is_word_character(c)) {
        kind = is_digit(c) ? SqlTokenKind::number : SqlTokenKind::word;
        while (extent.end < sql.size() && is_word_character(sql[extent.end])) ++extent.end;
    }
    return {kind, sql.substr(begin, extent.end - begin), begin, extent.open};
}

// The first token that begins at `at` or behind it.
std::optional<SqlToken> next_token(std::string_view sql, std::size_t at) {
    while (at < sql.size() && is_space(sql[at])) ++at;
    return at < sql.size() ? std::optional(token_at(sql, at)) : std::nullopt;
}

std::size_t end_of(const SqlToken& token) { return token.begin + token.text.size(); }

bool is_semicolon(const SqlToken& token) { return token.kind == SqlTokenKind::symbol && token.text == ";"; }

bool says_nothing(const SqlToken& token) { return token.kind == SqlTokenKind::comment || is_semicolon(token); }

}  // namespace

std::vector<SqlToken> sql_tokens(std::string_view sql) {
    std::vector<SqlToken> tokens;
    for (auto token = next_token(sql, 0); token; token = next_token(sql, end_of(*token))) tokens.push_back(*token);
    return tokens;
}

bool is_blank_sql(std::string_view sql) {
    auto token = next_token(sql, 0);
    while (token && says_nothing(*token)) token = next_token(sql, end_of(*token));
    return !token;
}

// A file of many statements is taken apart one by one: nothing here looks further than the next of them.
std::optional<std::string> take_statement(std::string& text) {
    std::size_t begin = 0;  // of the statement: empty ones are passed over
    bool blank = true;
    bool open = false;
    std::optional<std::string> statement;
    for (auto token = next_token(text, 0); token; token = next_token(text, end_of(*token))) {
        blank = blank && says_nothing(*token);
        open = token->open;
        if (!is_semicolon(*token)) continue;
        const std::size_t end = end_of(*token);
        if (blank) {
            begin = end;
        } else if (std::string candidate = text.substr(begin, end - begin); is_complete_statement(candidate)) {
            statement = std::move(candidate);
            begin = end;
            break;
        }
    }
    text.erase(0, begin);
    // A comment that is open may go on in the next line.
    if (!statement && blank && !open) text.clear();
    return statement;
}

bool same_word(std::string_view a, std::string_view b) { return a.size() == b.size() && begins_with_word(a, b); }

bool begins_with_word(std::string_view text, std::string_view prefix) {
    return text.size() >= prefix.size() &&
           std::equal(prefix.begin(), prefix.end(), text.begin(), [](char a, char b) { return lower(a) == lower(b); });
}

}  // namespace vitrine::cli
