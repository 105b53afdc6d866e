// Long lines that are no rows of a table: wrapped to the terminal, so that nothing of them is lost.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine::cli {

// Breaks valid UTF-8 at spaces into lines of at most `first` columns for the first and `rest` for the others; a word that is
// longer is broken anywhere. At least one line.
[[nodiscard]] std::vector<std::string> wrap_text(std::string_view text, std::size_t first, std::size_t rest);

// "lead text\n", where lines after the first begin at column `indent`. Without a width: one line, whatever its length.
[[nodiscard]] std::string hanging_lines(std::string_view lead, std::string_view text, std::size_t indent,
                                        std::optional<std::size_t> width);

}  // namespace vitrine::cli
