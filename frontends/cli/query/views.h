// Named views: which table stands behind a command, and how its rows are shown to a person. Data only; the other formats give
// all columns of the table as they are.
#pragma once

#include <span>
#include <string_view>

#include "render/row_writer.h"

namespace vitrine::cli {

// Where `column` is NULL or empty, tables show `other` between brackets, as ps shows kernel threads.
struct Substitute {
    std::string_view column;
    std::string_view other;
};

struct View {
    std::string_view command;
    std::string_view table;
    std::string_view columns;  // of the table format, comma-separated; "": all
    std::string_view sort;     // "": as the guest has them
    Substitute substitute = {};
    bool never_empty = false;  // every guest has some: an empty list is a failure
};

[[nodiscard]] const View* find_view(std::string_view command);
// Is an empty answer from this table a failure?
[[nodiscard]] bool never_empty(std::string_view table);
[[nodiscard]] std::span<const View> all_views();
[[nodiscard]] Hint hint_for(std::string_view table, std::string_view column);

}  // namespace vitrine::cli
