// Rows to one of the output formats. Rows are written as they come; memory does not grow with their number.
//
//   auto writer = make_row_writer(output, style, columns);
//   writer->row(values); ...; writer->finish();
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "render/output.h"
#include "vitrine/query/table.h"

namespace vitrine::cli {

enum class Format : std::uint8_t {
    table,
    json,
    ndjson,
    csv,
    markdown,
    line,  // of the shell only
};

enum class Hint : std::uint8_t {
    none,
    bytes,  // a size: 1.5 MiB
    time,   // seconds since 1970: 2024-01-31 12:00:00 (UTC)
};

struct OutputColumn {
    std::string name;
    ColumnType type = ColumnType::text;
    Hint hint = Hint::none;  // for tables only
};

struct Style {
    Format format = Format::table;
    bool color = false;
    bool header = true;
    std::optional<std::size_t> width;  // tables are cut to it, other texts wrapped; nullopt: never
    std::string_view ellipsis = "…";   // one column wide
};

class RowWriter {
public:
    virtual ~RowWriter() = default;
    virtual void row(std::span<const Value> values) = 0;  // one per column
    // Ends the answer. Not called when the answer broke off, so that JSON that ends early does not parse.
    virtual void finish() = 0;
};

std::unique_ptr<RowWriter> make_row_writer(Output& output, const Style& style, std::span<const OutputColumn> columns);

[[nodiscard]] Hint hint_of(Unit unit);
// How a table shows a value: one line, safe for a terminal. NULL is "-".
[[nodiscard]] std::string table_text(const Value& value, Hint hint);
[[nodiscard]] std::string csv_field(const Value& value);
[[nodiscard]] std::string size_text(std::uint64_t bytes);
[[nodiscard]] std::string time_text(std::int64_t seconds);

}  // namespace vitrine::cli
