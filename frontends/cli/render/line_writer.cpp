#include "render/line_writer.h"

#include <algorithm>

#include "vitrine/base/text.h"

namespace vitrine::cli {

LineWriter::LineWriter(Output& output, std::span<const OutputColumn> columns)
    : output_(output), columns_(columns.begin(), columns.end()) {
    for (const OutputColumn& column : columns_) widest_ = std::max(widest_, display_width(column.name));
}

void LineWriter::row(std::span<const Value> values) {
    std::string text = first_ ? "" : "\n";
    first_ = false;
    for (std::size_t i = 0; i < values.size() && i < columns_.size(); ++i) {
        text.append(widest_ - display_width(columns_[i].name), ' ');
        text += columns_[i].name + " = " + table_text(values[i], columns_[i].hint) + '\n';
    }
    output_.write(text);
}

}  // namespace vitrine::cli
