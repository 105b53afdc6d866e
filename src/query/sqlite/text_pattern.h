// column GLOB text, or column LIKE text: matched as SQLite does it, before rows are kept.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string>
#include <variant>

#include "vitrine/query/table.h"

namespace vitrine::sql {

struct TextPattern {
    enum class Kind : std::uint8_t { glob, like };
    // Longer ones are an error, which SQLite is left to find (SQLITE_LIMIT_LIKE_PATTERN_LENGTH of the database).
    static constexpr int kLongest = 1000;

    std::size_t column = 0;
    Kind kind = Kind::glob;
    std::string text;

    friend bool operator==(const TextPattern&, const TextPattern&) = default;

    // A text up to its first NUL, as SQLite takes it. NULL matches nothing.
    [[nodiscard]] bool matches(const Value& value) const {
        const auto* given = std::get_if<std::string>(&value);
        if (given == nullptr) return false;
        if (kind == Kind::glob) return sqlite3_strglob(text.c_str(), given->c_str()) == 0;
        return sqlite3_strlike(text.c_str(), given->c_str(), 0) == 0;
    }
};

}  // namespace vitrine::sql
