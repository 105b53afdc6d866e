#include "sql/error_hint.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "model/suggest.h"
#include "sql/tokens.h"
#include "sql/words.h"
#include "vitrine/query/database.h"

namespace vitrine::cli {
namespace {

using Names = std::vector<std::string_view>;

// What follows `introduction` in the message, up to white space.
std::optional<std::string_view> named_in(std::string_view message, std::string_view introduction) {
    const auto at = message.find(introduction);
    if (at == std::string_view::npos) return std::nullopt;
    const std::string_view rest = message.substr(at + introduction.size());
    return rest.substr(0, rest.find_first_of(" \n,;"));
}

std::string did_you_mean(std::string_view word, const Names& names) {
    const std::string_view near = nearest(word, names);
    return near.empty() ? std::string() : fmt::format("did you mean {}?", near);
}

// Of the tables that the statement names; of all if it names none.
Names columns_in_reach(std::string_view sql, std::span<const Table* const> tables) {
    Names names{"vm"};
    const auto tokens = sql_tokens(sql);
    const auto add = [&](const Table& table) {
        for (const Column& column : table.spec.columns) names.push_back(column.name);
    };
    for (const Table* table : tables) {
        const bool named = std::any_of(tokens.begin(), tokens.end(),
                                       [&](const SqlToken& token) { return same_word(token.text, table->spec.name); });
        if (named) add(*table);
    }
    if (names.size() > 1) return names;
    for (const Table* table : tables) add(*table);
    return names;
}

std::string upper(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    return out;
}

// SQLite names the word after which it was lost: often a keyword with a slip in it, or the word after that one.
std::string keyword_hint(std::string_view at, std::string_view sql) {
    const auto keywords = sqlite_keywords();
    const auto meant = [&](std::string_view word) {
        const std::string capitals = upper(word);
        if (word.size() < 3 || std::find(keywords.begin(), keywords.end(), capitals) != keywords.end())
            return std::string();
        const std::string_view near = nearest(capitals, keywords);
        return near.empty() ? std::string() : fmt::format("did you mean {}?", near);
    };
    std::string hint = meant(at);
    std::string_view before;
    for (const SqlToken& token : sql_tokens(sql)) {
        if (!hint.empty()) break;
        if (token.text == at) hint = meant(before);
        before = token.text;
    }
    return hint;
}

std::string_view last_part(std::string_view name) {
    const auto dot = name.rfind('.');
    return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

}  // namespace

std::string sql_error_hint(std::string_view message, std::string_view sql, std::span<const Table* const> tables) {
    if (const auto name = named_in(message, "no such table: ")) {
        Names names;
        for (const Table* table : tables) names.push_back(table->spec.name);
        return did_you_mean(last_part(*name), names);
    }
    if (const auto name = named_in(message, "no such column: ")) {
        return did_you_mean(last_part(*name), columns_in_reach(sql, tables));
    }
    if (const auto name = named_in(message, "no such function: ")) {
        Names names(sqlite_functions().begin(), sqlite_functions().end());
        for (const FunctionSpec& function : sql_functions()) names.push_back(function.name);
        return did_you_mean(*name, names);
    }
    if (const auto word = named_in(message, "near \"")) {
        return keyword_hint(word->substr(0, word->find('"')), sql);
    }
    return {};
}

}  // namespace vitrine::cli
