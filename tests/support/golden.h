// Golden files: what was answered once and read by a person. tests/data/golden/README.md says how they are made anew.
//
//   AnswerText text;                          // a ResultSink
//   auto report = database->query("SELECT * FROM mounts", {}, text);
//   expect_golden("k61/mounts.csv", text.finish(report));
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/query/database.h"

namespace vitrine::test {

inline bool rewrites_golden_files() { return std::getenv("VITRINE_REWRITE_GOLDEN") != nullptr; }
inline std::filesystem::path golden_folder() { return VITRINE_TEST_DATA "/golden"; }

// One value as a CSV field of one line: NULL is nothing, an empty text is "", and every byte that is not printable ASCII is \xNN.
inline std::string golden_text(const Value& value, ColumnType type) {
    if (const auto* number = std::get_if<std::int64_t>(&value)) {
        return type == ColumnType::address ? fmt::format("{:#x}", static_cast<std::uint64_t>(*number))
                                           : std::to_string(*number);
    }
    if (const auto* address = std::get_if<AddressValue>(&value)) return fmt::format("{:#x}", address->value);
    if (const auto* real = std::get_if<double>(&value)) return fmt::format("{}", *real);
    const auto* bytes = std::get_if<std::string>(&value);
    if (bytes == nullptr) return {};
    std::string text;
    bool quoted = bytes->empty();
    for (const char c : *bytes) {
        quoted = quoted || c == ',' || c == '"';
        if (c == '"') text += "\"\"";
        else if (c == '\\') text += "\\\\";
        else if (c >= ' ' && c <= '~') text += c;
        else text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
    return quoted ? '"' + text + '"' : text;
}

// An answer as lines: header, rows, how it ended, what was said. Of many rows: some, and a hash of each thousand.
class AnswerText final : public ResultSink {
public:
    static constexpr std::size_t kMostRows = 5000;  // shown whole
    static constexpr std::size_t kBlock = 1000;
    static constexpr std::size_t kEnds = 10;

    void columns(std::span<const ResultColumn> columns) override {
        columns_.assign(columns.begin(), columns.end());
        for (const ResultColumn& column : columns) header_ += (header_.empty() ? "" : ",") + column.name;
    }
    bool row(std::span<const Value> values) override {
        std::string line;
        for (std::size_t i = 0; i < values.size(); ++i) {
            if (i > 0) line += ',';
            line += golden_text(values[i], columns_.at(i).type);
        }
        rows_.push_back(std::move(line));
        return true;
    }
    [[nodiscard]] std::size_t rows() const { return rows_.size(); }

    [[nodiscard]] std::string finish(const Result<QueryReport>& report) const {
        std::string text = header_ + "\n" + (rows_.size() > kMostRows ? digest() : all(0, rows_.size()));
        text += fmt::format("# {} rows\n", rows_.size());
        if (!report) return text + "# error: " + report.error().to_string() + "\n";
        for (const TableReading& reading : report->readings) {
            text += fmt::format("# {}: {}\n", reading.table,
                                reading.failure ? reading.failure->to_string() : to_string(reading.walk.end));
        }
        for (const Diagnostic& d : report->diagnostics)
            text += fmt::format("# {} at {:#x}: {}\n", d.table, d.address, golden_text(d.text, ColumnType::text));
        return text;
    }

private:
    [[nodiscard]] std::string all(std::size_t begin, std::size_t end) const {
        std::string text;
        for (std::size_t i = begin; i < end; ++i) text += rows_[i] + "\n";
        return text;
    }
    [[nodiscard]] std::string digest() const {
        std::string text = all(0, kEnds);
        for (std::size_t begin = 0; begin < rows_.size(); begin += kBlock) {
            const std::size_t end = std::min(rows_.size(), begin + kBlock);
            // FNV-1a: the same on every machine.
            std::uint64_t hash = 0xcbf29ce484222325;
            for (const char c : all(begin, end)) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
            text += fmt::format("# rows {} to {}: {:016x}, the first of them:\n{}\n", begin, end - 1, hash,
                                rows_[begin]);
        }
        return text + "# the last:\n" + all(rows_.size() - kEnds, rows_.size());
    }

    std::vector<ResultColumn> columns_;
    std::string header_;
    std::vector<std::string> rows_;
};

inline std::vector<std::string_view> lines_of(std::string_view text) {
    std::vector<std::string_view> lines;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        lines.push_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return lines;
}

// The first lines that differ: all of a table of thousands of rows would tell less.
inline std::string first_differences(std::string_view wanted, std::string_view got) {
    constexpr std::size_t kShown = 3;
    const auto a = lines_of(wanted), b = lines_of(got);
    std::string text = fmt::format("{} lines, {} wanted\n", b.size(), a.size());
    std::size_t shown = 0;
    for (std::size_t i = 0; i < std::max(a.size(), b.size()) && shown < kShown; ++i) {
        const std::string_view left = i < a.size() ? a[i] : "(nothing)", right = i < b.size() ? b[i] : "(nothing)";
        if (left == right) continue;
        text += fmt::format("line {}\n  wanted: {}\n  got:    {}\n", i + 1, left, right);
        ++shown;
    }
    return text;
}

// Compares with the file, or writes it when golden files are made anew.
inline void expect_golden(const std::string& name, const std::string& got) {
    const std::filesystem::path path = golden_folder() / name;
    if (rewrites_golden_files()) {
        std::filesystem::create_directories(path.parent_path());
        std::ofstream(path, std::ios::binary) << got;
        return;
    }
    std::ifstream file(path, std::ios::binary);
    ASSERT_TRUE(file) << path << " is missing: tests/data/golden/README.md says how it is made";
    const std::string wanted{std::istreambuf_iterator<char>(file), {}};
    EXPECT_TRUE(wanted == got) << name << " is another: " << first_differences(wanted, got)
                               << "If that is right: tests/data/golden/README.md";
}

}  // namespace vitrine::test
