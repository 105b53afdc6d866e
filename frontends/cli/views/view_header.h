// The comment lines "-- @key value" at the top of a view's file.
#pragma once

#include <string>
#include <string_view>

#include "views/view.h"

namespace vitrine::cli {

using Checked = tl::expected<void, std::string>;  // or what is wrong

class ViewHeader {
public:
    ViewHeader(View& view, bool built_in) : view_(view), built_in_(built_in) {}
    // One line, without its end. Lines that are no comment, or a comment without @, say nothing.
    Checked line(std::string_view line);

private:
    Checked mark(std::string_view key, std::string_view rest);
    Checked option(std::string_view text);
    Checked where(std::string_view sql);
    Checked argument(std::string_view text);
    Checked columns(std::string_view text);
    Checked show(std::string_view text);
    Checked example(std::string_view text);

    View& view_;
    bool built_in_;
};

// What holds of any piece of SQL that is put together with others; `what` names it.
[[nodiscard]] Checked check_piece(std::string_view sql, std::string_view what);
// Without spaces and line ends at both sides.
[[nodiscard]] std::string_view trimmed(std::string_view text);

}  // namespace vitrine::cli
