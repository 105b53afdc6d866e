#include "sql/answer_sink.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/interrupt.h"
#include "vitrine/base/text.h"

namespace vitrine::cli {
namespace {

bool for_people(Format format) {
    return format == Format::table || format == Format::line || format == Format::markdown;
}

// An object of JSON has each name once: "pid", "pid:1".
void make_unique_names(std::vector<OutputColumn>& columns) {
    const auto taken = [&](const std::string& name, std::size_t before) {
        return std::any_of(columns.begin(), columns.begin() + static_cast<std::ptrdiff_t>(before),
                           [&](const OutputColumn& column) { return column.name == name; });
    };
    for (std::size_t i = 1; i < columns.size(); ++i) {
        const std::string name = columns[i].name;
        for (unsigned n = 1; taken(columns[i].name, i); ++n) columns[i].name = fmt::format("{}:{}", name, n);
    }
}

}  // namespace

void AnswerSink::columns(std::span<const ResultColumn> columns) {
    std::vector<OutputColumn> output;
    for (const ResultColumn& column : columns) {
        // The name of an expression is its text, which may hold anything.
        output.push_back({for_people(style_.format) ? to_terminal_text(column.name) : column.name, column.type,
                          hint_of(column.unit)});
        is_address_.push_back(column.type == ColumnType::address);
    }
    if (style_.format == Format::json || style_.format == Format::ndjson) make_unique_names(output);
    writer_ = make_row_writer(output_, style_, output);
}

bool AnswerSink::row(std::span<const Value> values) {
    if (interrupted() || !writer_) return false;
    any_ = true;
    shown_.assign(values.begin(), values.end());
    for (std::size_t i = 0; i < shown_.size() && i < is_address_.size(); ++i) {
        const auto* number = std::get_if<std::int64_t>(&shown_[i]);
        if (is_address_[i] && number != nullptr) shown_[i] = AddressValue{static_cast<std::uint64_t>(*number)};
    }
    writer_->row(shown_);
    return output_.ok();
}

void AnswerSink::finish() {
    if (writer_) writer_->finish();
}

void AnswerSink::break_off() {
    if (for_people(style_.format) && any_) finish();
}

}  // namespace vitrine::cli
