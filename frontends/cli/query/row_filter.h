// Which rows are wanted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "vitrine/query/table.h"

namespace vitrine::cli {

// Shell patterns: * any text, ? one byte, [a-z] and [!a-z] one byte of a set, \ takes away a meaning. The time is bounded by
// text times pattern, whatever the text: a guest chooses it.
[[nodiscard]] bool glob_match(std::string_view pattern, std::string_view text);

struct RowFilter {
    std::string column;
    std::variant<std::int64_t, std::string> wanted;  // a number, or a pattern

    [[nodiscard]] bool accepts(const Value& value) const;
};

}  // namespace vitrine::cli
