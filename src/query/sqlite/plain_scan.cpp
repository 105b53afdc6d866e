#include "query/sqlite/plain_scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "query/sqlite/program.h"
#include "query/sqlite/result_rows.h"
#include "vitrine/guest/guest.h"

namespace vitrine::sql {
namespace {

constexpr std::size_t kMostScans = 64;
constexpr std::size_t kLongestText = 1024;
constexpr std::uint64_t kRowsBetweenLooks = 256;

// As SQLite would give it back: what a column holds is of the column's kind, and no number is not a number.
bool is_as_given(const Value& value, ColumnType type) {
    if (std::holds_alternative<std::int64_t>(value)) return type != ColumnType::address;
    if (std::holds_alternative<AddressValue>(value)) return type == ColumnType::address;
    const auto* real = std::get_if<double>(&value);
    return real == nullptr || !std::isnan(*real);
}

void give_number(std::int64_t number, ColumnType type, Value& to) {
    if (type == ColumnType::address) to = AddressValue{static_cast<std::uint64_t>(number)};
    else to = number;
}

// The row before had a text here, mostly: its memory serves again.
void give_text(std::string_view text, Value& to) {
    if (auto* of_last_row = std::get_if<std::string>(&to)) of_last_row->assign(text);
    else to = std::string(text);
}

void give(const Value& value, ColumnType type, Value& to) {
    if (const auto* number = std::get_if<std::int64_t>(&value)) give_number(*number, type, to);
    else if (const auto* address = std::get_if<AddressValue>(&value))
        give_number(static_cast<std::int64_t>(address->value), type, to);
    else if (const auto* text = std::get_if<std::string>(&value)) give_text(*text, to);
    else if (is_as_given(value, type)) to = value;
    else to = Value();
}

void give(const Cell& cell, ColumnType type, Value& to) {
    switch (cell.kind) {
        case Cell::Kind::null:
            if (!std::holds_alternative<std::monostate>(to)) to = Value();
            break;
        case Cell::Kind::integer: give_number(cell.integer, type, to); break;
        case Cell::Kind::text: give_text(cell.text, to); break;
        case Cell::Kind::real:
            if (std::isnan(cell.real)) to = Value();
            else to = cell.real;
            break;
    }
}

// Rows of one guest after the other, as they are made or out of a store.
class HandOn final : public RowSink {
public:
    HandOn(const PlainScan& scan, const QueryLimits& limits, ResultSink& sink, Statement& statement)
        : scan_(scan), limits_(limits), sink_(sink), statement_(statement), row_(scan.columns.size()) {
        const std::size_t all = scan.table->spec.columns.size();
        whole_ = scan.columns.size() == all;
        for (std::size_t i = 0; i < scan.columns.size(); ++i) {
            whole_ = whole_ && scan.columns[i] == i;
            types_.push_back(scan.columns[i] < all ? scan.table->spec.columns[scan.columns[i]].type : ColumnType::text);
        }
    }

    void begin(std::string_view vm) { vm_ = vm; }
    void header() {
        if (!has_header_) sink_.columns(scan_.header);
        has_header_ = true;
    }

    bool row(std::span<const Value> values) override {
        if (!may_go_on()) return false;
        if (whole_ && all_as_given(values)) return pass(values);
        for (std::size_t i = 0; i < row_.size(); ++i) {
            if (scan_.columns[i] < values.size()) give(values[scan_.columns[i]], types_[i], row_[i]);
            else give_text(vm_, row_[i]);
        }
        return pass(row_);
    }
    bool rows_of(const RowStore& store) {
        const std::size_t all = scan_.table->spec.columns.size();
        for (std::size_t at = 0; at < store.rows(); ++at) {
            if (!may_go_on()) return false;
            // Every column in the table's order: so are they kept.
            if (whole_)
                store.for_each_cell(at, [&](std::size_t i, const Cell& cell) { give(cell, types_[i], row_[i]); });
            for (std::size_t i = 0; i < row_.size() && !whole_; ++i) {
                if (scan_.columns[i] < all) give(store.at(at, scan_.columns[i]), types_[i], row_[i]);
                else give_text(vm_, row_[i]);
            }
            if (!pass(row_)) return false;
        }
        return true;
    }
    void diagnostic(Diagnostic) override {}  // the statement keeps them
    [[nodiscard]] const RowsGiven& given() const { return given_; }

private:
    bool may_go_on() {
        if (given_.rows == limits_.rows) statement_.fail(too_many_rows(limits_));
        else if (given_.rows % kRowsBetweenLooks != kRowsBetweenLooks - 1) return true;
        return !statement_.must_end(0);
    }
    bool pass(std::span<const Value> values) {
        header();
        ++given_.rows;
        given_.stopped = !sink_.row(values);
        return !given_.stopped;
    }
    [[nodiscard]] bool all_as_given(std::span<const Value> values) const {
        if (values.size() != types_.size()) return false;
        for (std::size_t i = 0; i < values.size(); ++i) {
            if (!is_as_given(values[i], types_[i])) return false;
        }
        return true;
    }

    const PlainScan& scan_;
    const QueryLimits& limits_;
    ResultSink& sink_;
    Statement& statement_;
    bool whole_ = false;  // every column, in the table's order
    bool has_header_ = false;
    std::vector<ColumnType> types_;
    std::string_view vm_;
    std::vector<Value> row_;
    RowsGiven given_;
};

}  // namespace

const PlainScan* PlainScans::known(std::string_view text) const {
    const auto found = scans_.find(text);
    return found == scans_.end() ? nullptr : &found->second;
}

const PlainScan* PlainScans::learn(sqlite3* database, sqlite3_stmt* statement, std::string_view text) {
    if (text.size() > kLongestText) return nullptr;
    auto columns = columns_handed_on(database, text);
    if (!columns) return nullptr;
    PlainScan scan;
    ResultRows described(statement, tables_);
    const auto header = described.columns(false);
    scan.header.assign(header.begin(), header.end());
    if (scan.header.size() != columns->size()) return nullptr;
    for (const Table* table : tables_) {
        if (table->spec.name == scan.header.front().table) scan.table = table;
    }
    if (scan.table == nullptr) return nullptr;
    for (std::size_t i = 0; i < columns->size(); ++i) {
        if (scan.header[i].table != scan.table->spec.name || (*columns)[i] > scan.table->spec.columns.size())
            return nullptr;
    }
    scan.columns = std::move(*columns);
    if (scans_.size() == kMostScans) scans_.clear();
    return &scans_.emplace(std::string(text), std::move(scan)).first->second;
}

std::optional<RowsGiven> hand_on(const PlainScan& scan, std::span<const NamedGuest> guests, const QueryLimits& limits,
                                 ResultSink& sink, Statement& statement) {
    std::uint64_t used = 0;
    for (const std::size_t column : scan.columns) {
        if (column < scan.table->spec.columns.size()) used |= std::uint64_t{1} << std::min<std::size_t>(column, 63);
    }
    statement.use(*scan.table, used);
    HandOn rows(scan, limits, sink, statement);
    // A guest that runs is known to be the same only after all was read: then its rows are kept until all guests were.
    std::vector<Slice> slices(guests.size());
    for (std::size_t i = 0; i < guests.size(); ++i) {
        if (guests[i].guest.machine().is_live() && !statement.read(*scan.table, i, {}, slices[i])) return std::nullopt;
    }
    for (std::size_t i = 0; i < guests.size() && !rows.given().stopped; ++i) {
        rows.begin(guests[i].name);
        const bool all = slices[i].store != nullptr ? rows.rows_of(*slices[i].store)
                                                    : statement.read_through(*scan.table, i, rows);
        if (!all && !rows.given().stopped) return std::nullopt;
    }
    rows.header();
    return rows.given();
}

Error too_many_rows(const QueryLimits& limits) {
    return Error::with_text(Errc::limit, Origin::user, fmt::format("the answer has more than {} rows", limits.rows),
                            "use LIMIT or WHERE, or raise the limit: --max-rows N");
}

}  // namespace vitrine::sql
