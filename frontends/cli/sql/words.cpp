#include "sql/words.h"

#include <array>

namespace vitrine::cli {

std::span<const std::string_view> sqlite_keywords() {
    static constexpr auto kWords = std::to_array<std::string_view>(
        {"ALL",       "AND",       "AS",    "ASC",       "BETWEEN", "BY",     "CASE",         "CAST",      "COLLATE",
         "CROSS",     "CURRENT",   "DESC",  "DISTINCT",  "ELSE",    "END",    "ESCAPE",       "EXCEPT",    "EXISTS",
         "FILTER",    "FOLLOWING", "FROM",  "GLOB",      "GROUP",   "HAVING", "IN",           "INNER",     "INTERSECT",
         "IS",        "ISNULL",    "JOIN",  "LEFT",      "LIKE",    "LIMIT",  "MATERIALIZED", "NATURAL",   "NOT",
         "NOTNULL",   "NULL",      "NULLS", "OFFSET",    "ON",      "OR",     "ORDER",        "OUTER",     "OVER",
         "PARTITION", "PRECEDING", "RANGE", "RECURSIVE", "ROWS",    "SELECT", "THEN",         "UNBOUNDED", "UNION",
         "USING",     "VALUES",    "WHEN",  "WHERE",     "WINDOW",  "WITH"});
    return kWords;
}

std::span<const std::string_view> sqlite_functions() {
    static constexpr auto kWords = std::to_array<std::string_view>({"abs",
                                                                    "avg",
                                                                    "char",
                                                                    "coalesce",
                                                                    "count",
                                                                    "date",
                                                                    "datetime",
                                                                    "dense_rank",
                                                                    "format",
                                                                    "group_concat",
                                                                    "hex",
                                                                    "ifnull",
                                                                    "iif",
                                                                    "instr",
                                                                    "json_array",
                                                                    "json_extract",
                                                                    "json_group_array",
                                                                    "json_group_object",
                                                                    "json_object",
                                                                    "lag",
                                                                    "last_value",
                                                                    "lead",
                                                                    "length",
                                                                    "like",
                                                                    "lower",
                                                                    "ltrim",
                                                                    "max",
                                                                    "min",
                                                                    "nullif",
                                                                    "printf",
                                                                    "quote",
                                                                    "rank",
                                                                    "replace",
                                                                    "round",
                                                                    "row_number",
                                                                    "rtrim",
                                                                    "sign",
                                                                    "strftime",
                                                                    "substr",
                                                                    "sum",
                                                                    "time",
                                                                    "total",
                                                                    "trim",
                                                                    "typeof",
                                                                    "unicode",
                                                                    "unixepoch",
                                                                    "upper"});
    return kWords;
}

}  // namespace vitrine::cli
