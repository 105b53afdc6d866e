// A view: a named query in a data file, and the command it becomes. docs/views.md describes the files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace vitrine::cli {

// What an option's value is, and so what its parameter holds.
enum class ViewValue : std::uint8_t {
    flag,  // 1
    number,
    text,
    glob,  // a shell pattern; the parameter holds the same as SQL's GLOB has it
    address,
};

struct ViewOption {
    std::string name;        // "--pid"
    std::string short_name;  // "-p", or ""
    ViewValue kind = ViewValue::flag;
    std::string value;  // what --help calls the value; "" for flags
    std::string doc;
    std::string condition;  // SQL over the columns of the result, added when the option is given; "": in the SELECT
    bool answered_by_program = false;             // the program has an answer of its own to it
    [[nodiscard]] std::string parameter() const;  // "pid": its name in SQL, after the colon
};

// A word after TARGET that stands for an option.
struct ViewArgument {
    std::string name;    // "PID"
    std::string option;  // "--pid"
    std::string doc;
};

// Shown in place of a column's value in tables for people.
struct ViewShow {
    std::string column;
    std::string expression;
};

struct ViewExample {
    std::string command;
    std::string what;
};

struct View {
    std::string name;
    std::string file;  // "" for those that are built in
    std::string summary;
    std::string description;
    std::vector<ViewOption> options;
    std::vector<ViewArgument> arguments;
    std::vector<std::string> columns;  // in tables for people; empty: all
    std::vector<ViewShow> shows;
    std::string sort;              // "": as the guest has them
    bool never_empty = false;      // every guest has some: an empty answer is a failure
    bool needs_registers = false;  // there is nothing to show without them
    std::vector<ViewExample> examples;
    std::string sql;    // one SELECT, without a semicolon at its end
    std::string table;  // of SELECT * FROM table; "" of anything else

    [[nodiscard]] const ViewOption* find_option(std::string_view option) const;
};

struct ViewMistake {
    std::size_t line = 0;  // from 1
    std::string text;
};

// name: of the file, without .sql. Only views of the program may leave an option to it.
[[nodiscard]] tl::expected<View, ViewMistake> parse_view(std::string_view name, std::string_view text, bool built_in);

// a-z, 0-9, - and _, beginning with a letter: what can be typed as a command.
[[nodiscard]] bool is_view_name(std::string_view name);

}  // namespace vitrine::cli
