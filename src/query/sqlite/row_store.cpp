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
        if ((used >> std::min<std::size_t>(i, 63) & 1) == 0) continue;
        slots_[i] = static_cast<std::uint32_t>(width_++);
        used_.push_back(static_cast<std::uint32_t>(i));
    }
}

const char* RowStore::keep(std::string_view text) {
    constexpr std::size_t kFirst = 1024, kLargest = std::size_t{1} << 20;
    if (text.size() > text_left_) {
        text_block_ = std::min(std::max(kFirst, 2 * text_block_), kLargest);
        text_left_ = std::max(text_block_, text.size());
        text_ = texts_.emplace_back(std::make_unique_for_overwrite<char[]>(text_left_)).get();
        bytes_ += text_left_;
    }
    char* const kept = text_;
    std::copy(text.begin(), text.end(), kept);
    text_ += text.size();
    text_left_ -= text.size();
    return kept;
}

RowStore::Packed RowStore::pack(const Value& value) {
    Packed packed;
    packed.integer = 0;
    packed.size = 0;
    packed.kind = Cell::Kind::null;
    if (const auto* text = std::get_if<std::string>(&value)) {
        packed.kind = Cell::Kind::text;
        packed.size = static_cast<std::uint32_t>(std::min<std::size_t>(text->size(), UINT32_MAX));
        packed.text = packed.size == 0 ? "" : keep(std::string_view(*text).substr(0, packed.size));
    } else if (const auto* number = std::get_if<std::int64_t>(&value)) {
        packed.kind = Cell::Kind::integer;
        packed.integer = *number;
    } else if (const auto* address = std::get_if<AddressValue>(&value)) {
        packed.kind = Cell::Kind::integer;
        packed.integer = static_cast<std::int64_t>(address->value);
    } else if (const auto* real = std::get_if<double>(&value)) {
        packed.kind = Cell::Kind::real;
        packed.real = *real;
    }
    return packed;
}

void RowStore::append(std::span<const Value> values) {
    if (width_ != 0 && next_ == block_end_) {
        const std::size_t cells = (kFirstRows << blocks_.size()) * width_;
        next_ = blocks_.emplace_back(std::make_unique_for_overwrite<Packed[]>(cells)).get();
        block_end_ = next_ + cells;
        bytes_ += cells * sizeof(Packed);
    }
    ++rows_;
    static const Value null;
    for (const std::uint32_t i : used_) *next_++ = pack(i < values.size() ? values[i] : null);
}

std::size_t RowStore::bytes() const {
    std::size_t bytes = bytes_;
    for (const Index& index : indices_) bytes += index.sorted.capacity() * sizeof(index.sorted[0]);
    return bytes;
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
