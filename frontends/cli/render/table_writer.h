// Rows as a table of aligned columns. Column widths come from the first rows; those are kept until there are enough of them.
#pragma once

#include <string>
#include <vector>

#include "render/row_writer.h"

namespace vitrine::cli {

// Makes the widths of the columns fit: shrinks the widest of the shrinkable ones, down to kNarrowest, until the sum with
// gaps is at most `limit` or nothing can shrink.
void fit_columns(std::vector<std::size_t>& widths, const std::vector<bool>& shrinkable, std::size_t limit);

class TableWriter final : public RowWriter {
public:
    TableWriter(Output& output, const Style& style, std::span<const OutputColumn> columns);
    void row(std::span<const Value> values) override;
    void finish() override;

    static constexpr std::size_t kNarrowest = 8;
    static constexpr std::size_t kGap = 2;

private:
    // The rows looked at before the first is written; bounded in bytes as well, for texts are as long as the guest likes.
    static constexpr std::size_t kSampleRows = 1000;
    static constexpr std::size_t kSampleBytes = std::size_t{4} << 20;
    // No column is padded to more than this for the sake of a single long cell.
    static constexpr std::size_t kWidestPadding = 128;

    using Cells = std::vector<std::string>;
    void set_widths();
    void write_sample();
    void write_line(const Cells& cells, bool header);
    [[nodiscard]] std::string cell_text(const std::string& cell, std::size_t column) const;
    [[nodiscard]] bool right_aligned(std::size_t column) const;

    Output& output_;
    Style style_;
    std::vector<OutputColumn> columns_;
    std::vector<std::size_t> widths_;
    std::vector<Cells> sample_;
    std::size_t sample_bytes_ = 0;
    bool sampling_ = true;
};

}  // namespace vitrine::cli
