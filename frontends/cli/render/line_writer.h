// Rows as blocks of lines "name = value": for rows too wide for a table.
#pragma once

#include <vector>

#include "render/row_writer.h"

namespace vitrine::cli {

class LineWriter final : public RowWriter {
public:
    LineWriter(Output& output, std::span<const OutputColumn> columns);
    void row(std::span<const Value> values) override;
    void finish() override {}

private:
    Output& output_;
    std::vector<OutputColumn> columns_;
    std::size_t widest_ = 0;
    bool first_ = true;
};

}  // namespace vitrine::cli
