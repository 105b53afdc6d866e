#include "render/structure.h"

#include <fmt/format.h>

namespace vitrine::cli {

FlatWriter::FlatWriter(Output& output, const Style& style) {
    const std::vector<OutputColumn> columns{{"item", ColumnType::text}, {"value", ColumnType::text}};
    rows_ = make_row_writer(output, style, columns);
}

void FlatWriter::count_element() {
    if (!levels_.empty() && levels_.back().is_array) levels_.back().name = fmt::format("{}", levels_.back().count++);
}

void FlatWriter::open(bool is_array) {
    count_element();
    levels_.push_back({is_array, 0, {}});
}

void FlatWriter::value(const Value& value) {
    count_element();
    std::string path;
    for (const Level& level : levels_) path += (path.empty() ? "" : ".") + level.name;
    const std::vector<Value> row{std::move(path), value};
    rows_->row(row);
}

}  // namespace vitrine::cli
