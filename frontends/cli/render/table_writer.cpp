#include "render/table_writer.h"

#include <algorithm>
#include <numeric>

#include "vitrine/base/text.h"

namespace vitrine::cli {
namespace {

constexpr std::string_view kBold = "\x1b[1m";
constexpr std::string_view kDim = "\x1b[2m";
constexpr std::string_view kPlain = "\x1b[0m";

// Cut to `width` columns, the last of them an ellipsis.
std::string cut(const std::string& text, std::size_t width, std::string_view ellipsis) {
    if (text.size() <= width || display_width(text) <= width) return text;
    if (width == 0) return {};
    return std::string(fit_width(text, width - 1)) + std::string(ellipsis);
}

}  // namespace

void fit_columns(std::vector<std::size_t>& widths, const std::vector<bool>& shrinkable, std::size_t limit) {
    if (widths.empty()) return;
    std::size_t total = std::accumulate(widths.begin(), widths.end(), TableWriter::kGap * (widths.size() - 1));
    while (total > limit) {
        std::size_t widest = widths.size();
        std::size_t second = TableWriter::kNarrowest;  // no further than the next widest in one step
        for (std::size_t i = 0; i < widths.size(); ++i) {
            if (!shrinkable[i] || widths[i] <= TableWriter::kNarrowest) continue;
            if (widest == widths.size() || widths[i] > widths[widest]) {
                if (widest != widths.size()) second = std::max(second, widths[widest]);
                widest = i;
            } else {
                second = std::max(second, widths[i]);
            }
        }
        if (widest == widths.size()) return;
        const std::size_t step = std::min(total - limit, std::max<std::size_t>(1, widths[widest] - second));
        widths[widest] -= step;
        total -= step;
    }
}

TableWriter::TableWriter(Output& output, const Style& style, std::span<const OutputColumn> columns)
    : output_(output), style_(style), columns_(columns.begin(), columns.end()) {}

bool TableWriter::right_aligned(std::size_t column) const {
    const OutputColumn& c = columns_[column];
    return c.type != ColumnType::text && c.hint != Hint::time;
}

void TableWriter::row(std::span<const Value> values) {
    Cells cells(columns_.size());
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < cells.size() && i < values.size(); ++i) {
        cells[i] = table_text(values[i], columns_[i].hint);
        bytes += cells[i].size();
    }
    if (!sampling_) {
        write_line(cells, false);
        return;
    }
    sample_.push_back(std::move(cells));
    sample_bytes_ += bytes;
    if (sample_.size() >= kSampleRows || sample_bytes_ >= kSampleBytes) write_sample();
}

void TableWriter::finish() {
    if (sampling_) write_sample();
}

void TableWriter::set_widths() {
    const std::size_t widest = style_.width.value_or(kWidestPadding);
    std::vector<bool> shrinkable;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        std::size_t width = style_.header ? display_width(columns_[i].name) : 0;
        for (const Cells& cells : sample_) width = std::max(width, std::min(widest, display_width(cells[i])));
        widths_.push_back(width);
        shrinkable.push_back(columns_[i].type == ColumnType::text);
    }
    if (style_.width) fit_columns(widths_, shrinkable, *style_.width);
}

void TableWriter::write_sample() {
    sampling_ = false;
    set_widths();
    Cells header;
    for (const OutputColumn& column : columns_) header.push_back(column.name);
    if (style_.header) write_line(header, true);
    for (const Cells& cells : sample_) write_line(cells, false);
    sample_.clear();
    sample_.shrink_to_fit();
}

std::string TableWriter::cell_text(const std::string& cell, std::size_t column) const {
    const bool last = column + 1 == columns_.size();
    std::string text = style_.width ? cut(cell, widths_[column], style_.ellipsis) : cell;
    const std::size_t shown = display_width(text);
    const std::size_t padding = widths_[column] > shown ? widths_[column] - shown : 0;
    if (right_aligned(column)) return std::string(padding, ' ') + text;
    return last ? text : text + std::string(padding, ' ');
}

void TableWriter::write_line(const Cells& cells, bool header) {
    std::string line;
    std::size_t used = 0;
    for (std::size_t i = 0; i < cells.size(); ++i) {
        std::string text = cell_text(cells[i], i);
        if (style_.width && used >= *style_.width) {  // no room for more columns: say that there are
            if (used - kGap < *style_.width) line += style_.ellipsis;
            break;
        }
        if (style_.width) text = cut(text, *style_.width - used, style_.ellipsis);
        used += display_width(text) + kGap;
        if (i > 0) line.append(kGap, ' ');
        const bool dim = style_.color && !header && cells[i] == "-";
        if (dim) line += kDim;
        line += text;
        if (dim) line += kPlain;
    }
    if (header && style_.color) line = std::string(kBold) + line + std::string(kPlain);
    output_.write(line += '\n');
}

}  // namespace vitrine::cli
