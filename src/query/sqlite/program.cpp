#include "query/sqlite/program.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>

#include "vitrine/base/function_ref.h"

namespace vitrine::sql {
namespace {

struct Operation {
    std::string_view name;
    int p1 = 0, p2 = 0, p3 = 0;
};

// False: there is no such program, or visit returned false.
bool for_each_operation(sqlite3* database, std::string_view text, FunctionRef<bool(const Operation&)> visit) {
    const std::string explain = fmt::format("EXPLAIN {}", text);
    sqlite3_stmt* made = nullptr;
    sqlite3_prepare_v2(database, explain.c_str(), -1, &made, nullptr);
    const std::unique_ptr<sqlite3_stmt, decltype(&sqlite3_finalize)> program(made, sqlite3_finalize);
    if (made == nullptr) return false;  // an EXPLAIN itself, say
    while (sqlite3_step(made) == SQLITE_ROW) {
        const auto* name = reinterpret_cast<const char*>(sqlite3_column_text(made, 1));
        if (name == nullptr) return false;
        const Operation operation{name, sqlite3_column_int(made, 2), sqlite3_column_int(made, 3),
                                  sqlite3_column_int(made, 4)};
        if (!visit(operation)) return false;
    }
    return true;
}

std::string lower_case(std::string_view text) {
    std::string lower(text);
    for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return lower;
}

bool has_any(std::string_view text, std::initializer_list<std::string_view> words) {
    return std::any_of(words.begin(), words.end(),
                       [&](std::string_view word) { return text.find(word) != std::string_view::npos; });
}

// The one program that hands rows on: VOpen, Integer, Integer, VFilter, VColumn..., ResultRow, VNext, Halt, in this order, and what
// surrounds every program.
class HandingOn {
public:
    bool take(const Operation& operation) {
        const std::string_view name = operation.name;
        if (name == "Init" || name == "Explain" || name == "Noop") return true;
        if (name == "Transaction" || name == "Goto") return next_ == Next::nothing;  // behind Halt: how it starts
        if (name == "VOpen") return goes_on(Next::open, Next::filter);
        if (name == "Integer") {
            integers_[operation.p2] = operation.p1;
            return next_ == Next::filter;
        }
        // A plan of no constraint, and no values for it.
        if (name == "VFilter")
            return goes_on(Next::filter, Next::columns) && is_zero(operation.p3) && is_zero(operation.p3 + 1);
        if (name == "VColumn") {
            if (columns_.empty()) first_ = operation.p3;
            const bool in_order = operation.p3 == first_ + static_cast<int>(columns_.size()) && operation.p2 >= 0;
            columns_.push_back(static_cast<std::size_t>(operation.p2));
            return next_ == Next::columns && in_order;
        }
        if (name == "ResultRow") {
            const bool whole = operation.p1 == first_ && operation.p2 == static_cast<int>(columns_.size());
            return goes_on(Next::columns, Next::row) && whole && !columns_.empty();
        }
        if (name == "VNext") return goes_on(Next::row, Next::halt);
        if (name == "Halt") return goes_on(Next::halt, Next::nothing);
        return false;
    }
    [[nodiscard]] bool whole() const { return next_ == Next::nothing; }
    [[nodiscard]] std::vector<std::size_t> columns() && { return std::move(columns_); }

private:
    enum class Next : unsigned char { open, filter, columns, row, halt, nothing };

    bool goes_on(Next from, Next to) {
        if (next_ != from) return false;
        next_ = to;
        return true;
    }
    [[nodiscard]] bool is_zero(int place) const {
        const auto found = integers_.find(place);
        return found != integers_.end() && found->second == 0;
    }

    Next next_ = Next::open;
    std::map<int, int> integers_;  // by register
    int first_ = 0;                // register of the first column
    std::vector<std::size_t> columns_;
};

}  // namespace

// It can only where one of these words is.
bool tells_rows_apart(sqlite3* database, std::string_view text) {
    if (!has_any(lower_case(text), {"or", "full", "right", "oid"})) return false;
    // A program that cannot be looked at may do anything.
    return !for_each_operation(database, text, [](const Operation& operation) { return operation.name != "Rowid"; });
}

std::optional<std::vector<std::size_t>> columns_handed_on(sqlite3* database, std::string_view text) {
    // Most others are told by their words, which is cheaper.
    const std::string lower = lower_case(text);
    if (!has_any(lower, {"from"}) || has_any(lower, {"where", "join", "order", "group", "limit", "union", "("}))
        return std::nullopt;
    HandingOn program;
    if (!for_each_operation(database, text, [&](const Operation& operation) { return program.take(operation); }))
        return std::nullopt;
    if (!program.whole()) return std::nullopt;
    return std::move(program).columns();
}

}  // namespace vitrine::sql
