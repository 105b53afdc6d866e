// The words of SQLite's own language: what a shell completes, and what a mistake may have meant.
#pragma once

#include <span>
#include <string_view>

namespace vitrine::cli {

[[nodiscard]] std::span<const std::string_view> sqlite_keywords();   // those of queries, in capitals
[[nodiscard]] std::span<const std::string_view> sqlite_functions();  // the common ones

}  // namespace vitrine::cli
