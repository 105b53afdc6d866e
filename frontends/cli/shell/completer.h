// What Tab offers in the shell. Names come from the tables' specifications and from SQL itself, never from a guest.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/query/table.h"

namespace vitrine::cli {

struct Completion {
    std::size_t begin = 0;                // of the word in the text; it ends at the cursor
    std::vector<std::string> candidates;  // for the whole word, the likeliest first
};

// text: the whole statement so far, or a dot-command; what follows the cursor counts too, for the tables it names.
[[nodiscard]] Completion complete(std::string_view text, std::size_t cursor, std::span<const Table* const> tables);

// What the typed word may become without a choice: the one candidate and a space, or what all candidates have in common. "" if that is
// no more than the word itself.
[[nodiscard]] std::string unambiguous(const Completion& completion, std::string_view word);

}  // namespace vitrine::cli
