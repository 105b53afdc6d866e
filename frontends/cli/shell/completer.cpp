#include "shell/completer.h"

#include <algorithm>
#include <array>

#include "shell/dot_commands.h"
#include "sql/tokens.h"
#include "sql/words.h"
#include "vitrine/query/database.h"

namespace vitrine::cli {
namespace {

using Tables = std::span<const Table* const>;
using Tokens = std::vector<SqlToken>;

bool is_keyword(std::string_view word) {
    const auto words = sqlite_keywords();
    return std::any_of(words.begin(), words.end(), [&](std::string_view known) { return same_word(known, word); });
}

const Table* table_of(Tables tables, std::string_view name) {
    const auto found = std::find_if(tables.begin(), tables.end(),
                                    [&](const Table* table) { return same_word(table->spec.name, name); });
    return found == tables.end() ? nullptr : *found;
}

// The table that a name before a dot stands for: its own, or "FROM processes [AS] p".
const Table* table_called(const Tokens& all, Tables tables, std::string_view name) {
    for (std::size_t i = 0; i + 1 < all.size(); ++i) {
        const Table* table = table_of(tables, all[i].text);
        if (table == nullptr) continue;
        const std::size_t at = same_word(all[i + 1].text, "AS") ? i + 2 : i + 1;
        if (at < all.size() && same_word(all[at].text, name) && !is_keyword(name)) return table;
    }
    return table_of(tables, name);
}

// Does a table's name come next? After FROM and JOIN, and after a comma between the tables of FROM.
bool wants_table(const Tokens& before) {
    if (before.empty()) return false;
    const std::string_view last = before.back().text;
    if (same_word(last, "FROM") || same_word(last, "JOIN")) return true;
    if (last != ",") return false;
    constexpr auto kClauses = std::to_array<std::string_view>(
        {"SELECT", "WHERE", "BY", "HAVING", "ON", "USING", "LIMIT", "VALUES", "WITH", "WINDOW", "SET"});
    int depth = 0;
    for (auto token = before.rbegin(); token != before.rend(); ++token) {
        if (token->text == ")") ++depth;
        if (token->text == "(" && --depth < 0) return false;
        if (depth > 0) continue;
        if (same_word(token->text, "FROM") || same_word(token->text, "JOIN")) return true;
        for (const std::string_view clause : kClauses) {
            if (same_word(token->text, clause)) return false;
        }
    }
    return false;
}

class Offer {
public:
    explicit Offer(std::string_view prefix) : prefix_(prefix) {}

    void add(std::string_view name) {
        if (!begins_with_word(name, prefix_)) return;
        if (std::find(names_.begin(), names_.end(), name) == names_.end()) names_.emplace_back(name);
    }
    void add_columns(const Table& table) {
        for (const Column& column : table.spec.columns) add(column.name);
    }
    void add_tables(Tables tables) {
        for (const Table* table : tables) add(table->spec.name);
    }
    void add_functions() {
        for (const FunctionSpec& function : sql_functions()) add(std::string(function.name) + "(");
        for (const std::string_view function : sqlite_functions()) add(std::string(function) + "(");
    }
    // As they are typed: "sel" becomes "select".
    void add_keyword(std::string_view word) {
        const bool small = std::any_of(prefix_.begin(), prefix_.end(), [](char c) { return c >= 'a' && c <= 'z'; });
        std::string name(word);
        for (char& c : name) {
            if (small && c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
        }
        add(name);
    }
    std::vector<std::string> take() { return std::move(names_); }

private:
    std::string_view prefix_;
    std::vector<std::string> names_;
};

// Where a value may stand, or a keyword.
void offer_expression(Offer& offer, std::string_view prefix, const Tokens& before, const Tokens& all, Tables tables) {
    if (prefix.empty() && before.empty()) {
        for (const std::string_view word : {"SELECT", "WITH", "VALUES"}) offer.add_keyword(word);
        return;
    }
    bool named = false;
    for (const SqlToken& token : all) {
        const Table* table = table_of(tables, token.text);
        if (table == nullptr) continue;
        named = true;
        offer.add_columns(*table);
    }
    if (named) offer.add("vm");
    if (prefix.empty() && named) return;
    offer.add_tables(tables);
    offer.add_functions();
    for (const std::string_view word : sqlite_keywords()) offer.add_keyword(word);
    if (named || prefix.empty()) return;
    for (const Table* table : tables) offer.add_columns(*table);
    offer.add("vm");
}

Tokens without_comments(std::string_view sql) {
    Tokens tokens = sql_tokens(sql);
    std::erase_if(tokens, [](const SqlToken& token) { return token.kind == SqlTokenKind::comment; });
    return tokens;
}

Completion complete_sql(std::string_view text, std::size_t cursor, Tables tables) {
    const Tokens raw = sql_tokens(text.substr(0, cursor));
    const bool at_end = !raw.empty() && raw.back().begin + raw.back().text.size() == cursor;
    if (!raw.empty() && raw.back().open) return {cursor, {}};  // inside a string or a comment
    Tokens before = without_comments(text.substr(0, cursor));
    std::string_view prefix;
    if (at_end && raw.back().kind != SqlTokenKind::comment && raw.back().kind != SqlTokenKind::symbol) {
        if (raw.back().kind != SqlTokenKind::word) return {cursor, {}};
        prefix = raw.back().text;
        before.pop_back();
    }
    Offer offer(prefix);
    // The word at the cursor may be a table's name by chance, and says nothing yet.
    Tokens all = before;
    const Tokens after = without_comments(text.substr(cursor));
    all.insert(all.end(), after.begin(), after.end());
    if (before.size() >= 2 && before.back().text == ".") {
        const Table* table = table_called(all, tables, before[before.size() - 2].text);
        if (table != nullptr) offer.add_columns(*table), offer.add("vm");
    } else if (wants_table(before)) {
        offer.add_tables(tables);
    } else {
        offer_expression(offer, prefix, before, all, tables);
    }
    return {cursor - prefix.size(), offer.take()};
}

Completion complete_dot(std::string_view text, std::size_t cursor, Tables tables) {
    const std::string_view before = text.substr(0, cursor);
    const auto space = before.find(' ');
    if (space == std::string_view::npos) {
        Offer offer(before);
        for (const DotCommand& command : dot_commands()) offer.add(command.name);
        return {0, offer.take()};
    }
    const std::size_t begin = before.find_last_of(' ') + 1;
    if (before.find_first_not_of(' ', space) < begin) return {cursor, {}};  // a second argument
    Offer offer(before.substr(begin));
    const DotCommand* command = find_dot_command(before.substr(0, space));
    if (command == nullptr) return {cursor, {}};
    if (command->argument == DotArgument::table) offer.add_tables(tables);
    for (std::string_view left = command->choices; !left.empty();) {
        const auto bar = std::min(left.find('|'), left.size());
        offer.add(left.substr(0, bar));
        left.remove_prefix(std::min(bar + 1, left.size()));
    }
    return {begin, offer.take()};
}

}  // namespace

Completion complete(std::string_view text, std::size_t cursor, std::span<const Table* const> tables) {
    cursor = std::min(cursor, text.size());
    return text.starts_with('.') ? complete_dot(text, cursor, tables) : complete_sql(text, cursor, tables);
}

std::string unambiguous(const Completion& completion, std::string_view word) {
    if (completion.candidates.empty()) return {};
    std::string common = completion.candidates.front();
    if (completion.candidates.size() == 1) return common.ends_with('(') ? common : common + ' ';
    for (const std::string& candidate : completion.candidates) {
        while (!begins_with_word(candidate, common)) common.pop_back();
    }
    return common.size() > word.size() ? common : std::string();
}

}  // namespace vitrine::cli
