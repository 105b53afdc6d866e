// The rows of one reading of one table, kept compactly until the statement ends: 16 bytes a value, texts beside them. Columns that the
// statement does not use are not kept. What is kept stays where it is: it is never copied to grow. Equal values of a column are found through
// an index that is built at its first use.
#pragma once

#include <bit>
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
    // The used columns of one row, in their order: for who reads many. visit(index among them, Cell).
    template <class Visit>
    void for_each_cell(std::size_t row, Visit&& visit) const {
        const Packed* cells = cells_of(row);
        for (std::size_t i = 0; i < width_; ++i) visit(i, cell_of(cells[i]));
    }
    // The rows, in order, whose column equals the value. Precondition: the column is used.
    [[nodiscard]] std::vector<std::uint32_t> equal(std::size_t column, const Value& value);

private:
    struct Packed {  // nothing is set to begin with: they are made in large numbers
        union {
            std::int64_t integer;
            double real;
            const char* text;
        };
        std::uint32_t size;  // of a text
        Cell::Kind kind;
    };
    static_assert(sizeof(Packed) == 16);
    [[nodiscard]] static Cell cell_of(const Packed& packed);
    struct Index {
        std::size_t column;
        std::vector<std::pair<std::uint64_t, std::uint32_t>> sorted;  // (hash of the value, row)
    };
    static constexpr std::uint32_t kUnused = ~std::uint32_t{0};

    // Block k has room for kFirstRows << k rows.
    static constexpr std::size_t kFirstRows = 16;
    [[nodiscard]] const Packed* cells_of(std::size_t row) const {
        const std::size_t counted = row + kFirstRows;
        const auto block = static_cast<std::size_t>(std::bit_width(counted) - std::bit_width(kFirstRows));
        return blocks_[block].get() + (counted - (kFirstRows << block)) * width_;
    }
    [[nodiscard]] Packed pack(const Value& value);
    [[nodiscard]] const char* keep(std::string_view text);
    [[nodiscard]] const Index& index_of(std::size_t column);

    std::vector<std::uint32_t> slots_;  // of each column, its place in a row; kUnused
    std::vector<std::uint32_t> used_;   // the columns that have one, in order
    std::size_t width_ = 0;
    std::size_t rows_ = 0;
    std::size_t bytes_ = 0;  // of blocks and texts
    std::vector<std::unique_ptr<Packed[]>> blocks_;
    Packed* next_ = nullptr;  // where the next row goes, and where its block ends
    Packed* block_end_ = nullptr;
    std::vector<std::unique_ptr<char[]>> texts_;
    char* text_ = nullptr;  // where the next text goes
    std::size_t text_left_ = 0, text_block_ = 0;
    std::vector<Index> indices_;
};

inline Cell RowStore::at(std::size_t row, std::size_t column) const {
    if (column >= slots_.size() || slots_[column] == kUnused) return {};
    return cell_of(cells_of(row)[slots_[column]]);
}

inline Cell RowStore::cell_of(const Packed& packed) {
    switch (packed.kind) {
        case Cell::Kind::null: break;
        case Cell::Kind::integer: return {Cell::Kind::integer, packed.integer, 0, {}};
        case Cell::Kind::real: return {Cell::Kind::real, 0, packed.real, {}};
        case Cell::Kind::text: return {Cell::Kind::text, 0, 0, {packed.text, packed.size}};
    }
    return {};
}

}  // namespace vitrine::sql
