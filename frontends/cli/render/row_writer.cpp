#include "render/row_writer.h"

#include "render/json.h"
#include "render/line_writer.h"
#include "render/table_writer.h"

namespace vitrine::cli {
namespace {

class JsonRows final : public RowWriter {
public:
    JsonRows(Output& output, bool lines, std::span<const OutputColumn> columns) : output_(output), lines_(lines) {
        for (const OutputColumn& column : columns) keys_.push_back(json_string(column.name) + ": ");
    }

    void row(std::span<const Value> values) override {
        if (!lines_) output_.write(first_ ? "[\n  " : ",\n  ");
        first_ = false;
        std::string text = "{";
        for (std::size_t i = 0; i < values.size() && i < keys_.size(); ++i) {
            if (i > 0) text += ", ";
            text += keys_[i];
            text += json_value(values[i]);
        }
        text += lines_ ? "}\n" : "}";
        output_.write(text);
    }

    void finish() override {
        if (!lines_) output_.write(first_ ? "[]\n" : "\n]\n");
    }

private:
    Output& output_;
    bool lines_;
    bool first_ = true;
    std::vector<std::string> keys_;
};

class CsvRows final : public RowWriter {
public:
    CsvRows(Output& output, bool header, std::span<const OutputColumn> columns) : output_(output) {
        if (header) {
            for (const OutputColumn& column : columns) header_.emplace_back(column.name);
        }
    }

    void row(std::span<const Value> values) override {
        write_header();
        write_line(values);
    }
    void finish() override { write_header(); }

private:
    void write_header() {
        if (!header_.empty()) write_line(header_);
        header_.clear();
    }
    void write_line(std::span<const Value> values) {
        std::string line;
        for (std::size_t i = 0; i < values.size(); ++i) {
            if (i > 0) line += ',';
            line += csv_field(values[i]);
        }
        output_.write(line += '\n');
    }

    Output& output_;
    std::vector<Value> header_;
};

// A pipe table. What a guest says is shown, and means nothing to Markdown or HTML.
class MarkdownRows final : public RowWriter {
public:
    MarkdownRows(Output& output, std::span<const OutputColumn> columns)
        : output_(output), columns_(columns.begin(), columns.end()) {}

    void row(std::span<const Value> values) override {
        write_header();
        std::string line = "|";
        for (std::size_t i = 0; i < values.size() && i < columns_.size(); ++i)
            line += ' ' + escaped(table_text(values[i], columns_[i].hint)) + " |";
        output_.write(line += '\n');
    }
    void finish() override { write_header(); }

private:
    void write_header() {
        if (has_header_) return;
        has_header_ = true;
        std::string names = "|";
        std::string rule = "|";
        for (const OutputColumn& column : columns_) {
            names += ' ' + escaped(column.name) + " |";
            rule += column.type == ColumnType::text || column.hint == Hint::time ? "---|" : "---:|";
        }
        output_.write(names + '\n' + rule + '\n');
    }
    // A backslash before ASCII punctuation makes it a letter to Markdown.
    static std::string escaped(std::string_view text) {
        std::string out;
        for (const char c : text) {
            if (std::string_view("\\`*_{}[]<>#|~&!").find(c) != std::string_view::npos) out += '\\';
            out += c;
        }
        return out;
    }

    Output& output_;
    std::vector<OutputColumn> columns_;
    bool has_header_ = false;
};

}  // namespace

std::unique_ptr<RowWriter> make_row_writer(Output& output, const Style& style, std::span<const OutputColumn> columns) {
    switch (style.format) {
        case Format::json: return std::make_unique<JsonRows>(output, false, columns);
        case Format::ndjson: return std::make_unique<JsonRows>(output, true, columns);
        case Format::csv: return std::make_unique<CsvRows>(output, style.header, columns);
        case Format::markdown: return std::make_unique<MarkdownRows>(output, columns);
        case Format::line: return std::make_unique<LineWriter>(output, columns);
        case Format::table: break;
    }
    return std::make_unique<TableWriter>(output, style, columns);
}

}  // namespace vitrine::cli
