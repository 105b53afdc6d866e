// The rows of one reading of one table, kept compactly until the statement ends: 16 bytes a value, texts in one arena. Columns that the
// statement does not use are not kept. Equal values of a column are found through an index that is built at its first use.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vitrine/query/table.h"

namespace vitrine::sql {

struct Cell {
    enum class Kind : std::uint8_t { null, integer, real, text };
    Kind kind = Kind::null;
    std::int64_t integer = 0;  // addresses too, by their bits
    double real = 0;
    std::string_view text;  // points into the store
};

class RowStore {
public:
    // used: bit i for column i; the last bit stands for all columns from 63 on.
    RowStore(std::size_t columns, std::uint64_t used);

    void append(std::span<const Value> values);  // as many as there are columns
    [[nodiscard]] std::size_t rows() const { return rows_; }
    [[nodiscard]] std::size_t bytes() const;  // of memory
    // A column that is not used reads as NULL. Precondition: row < rows().
    [[nodiscard]] Cell at(std::size_t row, std::size_t column) const;
    // The rows, in order, whose column equals the value. Precondition: the column is used.
    [[nodiscard]] std::vector<std::uint32_t> equal(std::size_t column, const Value& value);

private:
    struct Packed {
        std::uint64_t bits = 0;  // the value, or where its text begins in the arena
        std::uint32_t size = 0;  // of a text
        Cell::Kind kind = Cell::Kind::null;
    };
    struct Index {
        std::size_t column;
        std::vector<std::pair<std::uint64_t, std::uint32_t>> sorted;  // (hash of the value, row)
    };
    static constexpr std::uint32_t kUnused = ~std::uint32_t{0};

    [[nodiscard]] Packed pack(const Value& value);
    [[nodiscard]] const Index& index_of(std::size_t column);

    std::vector<std::uint32_t> slots_;  // of each column, its place in a row; kUnused
    std::size_t width_ = 0;
    std::size_t rows_ = 0;
    std::vector<Packed> cells_;
    std::string arena_;
    std::vector<Index> indices_;
};

}  // namespace vitrine::sql
