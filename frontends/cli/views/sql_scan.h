// As much of SQL's surface as a view needs: where strings, quoted names and comments are, and what lies outside of them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine::cli {

struct SqlPiece {
    enum class Kind : std::uint8_t { word, parameter, sign, quoted };
    Kind kind = Kind::word;
    std::string_view text;  // of a parameter: without its colon
    std::size_t at = 0;     // where it begins
};

struct SqlScan {
    std::vector<SqlPiece> pieces;  // comments left out
    // A string, quoted name or comment that never ends begins here.
    std::optional<std::size_t> unended;
};
[[nodiscard]] SqlScan scan_sql(std::string_view sql);

// The same SQL with each parameter :name replaced by ?N, N being its place in `order` from 1; new names are added to `order`.
[[nodiscard]] std::string number_parameters(std::string_view sql, std::vector<std::string>& order);

// A shell pattern as SQL's GLOB writes it: sets are negated by ^, and nothing but a set takes away a meaning.
[[nodiscard]] std::string sql_glob(std::string_view pattern);

// A name in brackets: never taken for a string.
[[nodiscard]] std::string sql_name(std::string_view name);

}  // namespace vitrine::cli
