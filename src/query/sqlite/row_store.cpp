#include "query/sqlite/row_store.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace vitrine::sql {
namespace {

std::uint64_t hash_of(const Cell& cell) {
    switch (cell.kind) {
        case Cell::Kind::null: return 0;
        case Cell::Kind::integer: return static_cast<std::uint64_t>(cell.integer) * 0x9e37'79b9'7f4a'7c15ull;
        case Cell::Kind::real: return std::bit_cast<std::uint64_t>(cell.real);
        case Cell::Kind::text: return std::hash<std::string_view>{}(cell.text);
    }
    return 0;
}

Cell to_cell(const Value& value) {
    struct Visitor {
        Cell operator()(std::monostate) const { return {}; }
        Cell operator()(std::int64_t v) const { return {Cell::Kind::integer, v, 0, {}}; }
        Cell operator()(double v) const { return {Cell::Kind::real, 0, v, {}}; }
        Cell operator()(AddressValue v) const {
            return {Cell::Kind::integer, static_cast<std::int64_t>(v.value), 0, {}};
        }
        Cell operator()(const std::string& v) const { return {Cell::Kind::text, 0, 0, v}; }
    };
    return std::visit(Visitor{}, value);
}

// NULL equals nothing, as in SQL.
bool same(const Cell& a, const Cell& b) {
    if (a.kind != b.kind) return false;
    switch (a.kind) {
        case Cell::Kind::null: return false;
        case Cell::Kind::integer: return a.integer == b.integer;
        case Cell::Kind::real: return a.real == b.real;
        case Cell::Kind::text: return a.text == b.text;
    }
    return false;
}

}  // namespace

RowStore::RowStore(std::size_t columns, std::uint64_t used) : slots_(columns, kUnused) {
    for (std::size_t i = 0; i < columns; ++i) {
        if ((used >> std::min<std::size_t>(i, 63) & 1) != 0) slots_[i] = static_cast<std::uint32_t>(width_++);
    }
}

RowStore::Packed RowStore::pack(const Value& value) {
    const Cell cell = to_cell(value);
    Packed packed{static_cast<std::uint64_t>(cell.integer), 0, cell.kind};
    if (cell.kind == Cell::Kind::real) packed.bits = std::bit_cast<std::uint64_t>(cell.real);
    if (cell.kind == Cell::Kind::text) {
        packed.bits = arena_.size();
        packed.size = static_cast<std::uint32_t>(std::min<std::size_t>(cell.text.size(), UINT32_MAX));
        arena_.append(cell.text.substr(0, packed.size));
    }
    return packed;
}

void RowStore::append(std::span<const Value> values) {
    ++rows_;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
        if (slots_[i] == kUnused) continue;
        cells_.push_back(i < values.size() ? pack(values[i]) : Packed{});
    }
}

std::size_t RowStore::bytes() const {
    std::size_t bytes = cells_.capacity() * sizeof(Packed) + arena_.capacity();
    for (const Index& index : indices_) bytes += index.sorted.capacity() * sizeof(index.sorted[0]);
    return bytes;
}

Cell RowStore::at(std::size_t row, std::size_t column) const {
    if (column >= slots_.size() || slots_[column] == kUnused) return {};
    const Packed& packed = cells_[row * width_ + slots_[column]];
    Cell cell{packed.kind, static_cast<std::int64_t>(packed.bits), 0, {}};
    if (packed.kind == Cell::Kind::real) cell.real = std::bit_cast<double>(packed.bits);
    if (packed.kind == Cell::Kind::text) cell.text = std::string_view(arena_).substr(packed.bits, packed.size);
    return cell;
}

const RowStore::Index& RowStore::index_of(std::size_t column) {
    const auto known = std::find_if(indices_.begin(), indices_.end(),
                                    [&](const Index& index) { return index.column == column; });
    if (known != indices_.end()) return *known;
    Index index{column, {}};
    index.sorted.reserve(rows_);
    for (std::size_t row = 0; row < rows_; ++row)
        index.sorted.emplace_back(hash_of(at(row, column)), static_cast<std::uint32_t>(row));
    std::sort(index.sorted.begin(), index.sorted.end());
    return indices_.emplace_back(std::move(index));
}

std::vector<std::uint32_t> RowStore::equal(std::size_t column, const Value& value) {
    const Cell wanted = to_cell(value);
    const auto& sorted = index_of(column).sorted;
    const std::pair<std::uint64_t, std::uint32_t> first{hash_of(wanted), 0};
    std::vector<std::uint32_t> found;
    for (auto at_hash = std::lower_bound(sorted.begin(), sorted.end(), first);
         at_hash != sorted.end() && at_hash->first == first.first; ++at_hash) {
        if (same(at(at_hash->second, column), wanted)) found.push_back(at_hash->second);
    }
    return found;
}

}  // namespace vitrine::sql
