// From the rows of a statement to one of the output formats.
#pragma once

#include <memory>
#include <vector>

#include "render/row_writer.h"
#include "vitrine/query/database.h"

namespace vitrine::cli {

class AnswerSink final : public ResultSink {
public:
    AnswerSink(Output& output, Style style) : output_(output), style_(std::move(style)) {}

    void columns(std::span<const ResultColumn> columns) override;
    bool row(std::span<const Value> values) override;

    void finish();  // the answer is whole
    // It failed. What came before is shown to people; the other formats must not look complete.
    void break_off();

private:
    Output& output_;
    Style style_;
    std::unique_ptr<RowWriter> writer_;
    std::vector<bool> is_address_;
    std::vector<Value> shown_;
    bool any_ = false;
};

}  // namespace vitrine::cli
