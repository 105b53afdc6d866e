// Files of the source tree that the program carries with it (cmake/embed_files.cmake).
#pragma once

#include <span>
#include <string_view>

namespace vitrine::cli {

struct EmbeddedFile {
    std::string_view name;  // "ps.sql"
    std::string_view text;
};

[[nodiscard]] std::span<const EmbeddedFile> embedded_views();            // views/*.sql
[[nodiscard]] std::span<const EmbeddedFile> embedded_table_templates();  // templates/table/*.in

}  // namespace vitrine::cli
