// SQL text as tokens, as far as a front end needs them: to split it into statements, to complete a word, to find what a mistake
// was meant to be. SQLite itself is the judge of everything else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine::cli {

enum class SqlTokenKind : std::uint8_t {
    word,        // a keyword or a name
    identifier,  // a name in quotes: "a b", [a b], `a b`
    text,        // 'a string'
    number,
    symbol,  // one character
    comment,
};

struct SqlToken {
    SqlTokenKind kind = SqlTokenKind::symbol;
    std::string_view text;  // with its quotes; views what was given
    std::size_t begin = 0;
    bool open = false;  // the text ends before it does
};

[[nodiscard]] std::vector<SqlToken> sql_tokens(std::string_view sql);

// Nothing but white space, comments and semicolons.
[[nodiscard]] bool is_blank_sql(std::string_view sql);

// Removes the first complete statement, its semicolon included, from the front of the text; nullopt if there is none, and then a
// text that says nothing is emptied.
[[nodiscard]] std::optional<std::string> take_statement(std::string& text);

[[nodiscard]] bool same_word(std::string_view a, std::string_view b);  // as SQL compares keywords and names
[[nodiscard]] bool begins_with_word(std::string_view text, std::string_view prefix);

}  // namespace vitrine::cli
