// The answer to a statement of SQL, kept in memory: rows whose values are asked for by the column's name and a C++ type.
//
//   RowSet processes = VITRINE_TRY(database->query("SELECT pid, name, uid, task FROM processes"));
//   for (const Row row : processes) {
//       auto pid = VITRINE_TRY(row.get<std::int32_t>("pid"));
//       auto uid = VITRINE_TRY(row.get<std::optional<std::uint32_t>>("uid"));   // may be NULL: not known
//       auto task = VITRINE_TRY(row.get<Gva>("task"));
//   }
//   if (!processes.complete()) ...    // processes.report() says what is missing, and why
//
// A Row, and each std::string_view it gives, lives as long as its RowSet; it stays valid when that is moved. Answers
// too large to keep: give Database::query() a ResultSink.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "vitrine/base/address.h"
#include "vitrine/base/result.h"
#include "vitrine/query/database.h"

namespace vitrine {

// What a value can be read as: numbers that hold it (out_of_range otherwise; bool: 0 and 1), double (of integers too),
// texts (any bytes, see base/text.h before showing them), addresses.
template <class T>
concept RowType = std::same_as<T, bool> || (std::integral<T> && sizeof(T) > 1) || std::same_as<T, double> ||
                  std::same_as<T, std::string> || std::same_as<T, std::string_view> || std::same_as<T, Gva>;

// The same, or NULL.
template <class T>
concept RowValue = RowType<T> || (requires { typename T::value_type; } && RowType<typename T::value_type> &&
                                  std::same_as<T, std::optional<typename T::value_type>>);

class Row {
public:
    Row(std::span<const ResultColumn> columns, std::span<const Value> values) : columns_(columns), values_(values) {}

    // Errors: not_found (no such column; or NULL, of a T that is no std::optional), ambiguous (two columns of that
    // name: give one another, with AS), usage (the value is of another kind), out_of_range.
    template <RowValue T>
    Result<T> get(std::string_view column) const;

    [[nodiscard]] std::span<const ResultColumn> columns() const { return columns_; }
    [[nodiscard]] std::span<const Value> values() const { return values_; }
    Result<const Value*> find(std::string_view column) const;

private:
    template <RowType T>
    static Result<T> read(const Value& value, std::string_view column);
    static Result<std::int64_t> integer(const Value& value, std::string_view column);
    static Result<double> real(const Value& value, std::string_view column);
    static Result<std::string_view> text(const Value& value, std::string_view column);
    static Result<Gva> address(const Value& value, std::string_view column);
    static Error does_not_fit(std::int64_t value, std::string_view column);

    std::span<const ResultColumn> columns_;
    std::span<const Value> values_;
};

class RowSet {
public:
    class Iterator {
    public:
        Iterator(const RowSet& set, std::size_t index) : set_(&set), index_(index) {}
        Row operator*() const { return (*set_)[index_]; }
        Iterator& operator++() {
            ++index_;
            return *this;
        }
        friend bool operator==(const Iterator& a, const Iterator& b) { return a.index_ == b.index_; }

    private:
        const RowSet* set_;
        std::size_t index_;
    };

    // values: row after row, as many in each as there are columns.
    RowSet(std::vector<ResultColumn> columns, std::vector<Value> values, QueryReport report)
        : columns_(std::move(columns)), values_(std::move(values)), report_(std::move(report)) {}

    [[nodiscard]] std::size_t size() const { return columns_.empty() ? 0 : values_.size() / columns_.size(); }
    [[nodiscard]] bool empty() const { return size() == 0; }
    [[nodiscard]] Row operator[](std::size_t index) const {  // index < size()
        return {columns_, std::span(values_).subspan(index * columns_.size(), columns_.size())};
    }
    [[nodiscard]] Iterator begin() const { return {*this, 0}; }
    [[nodiscard]] Iterator end() const { return {*this, size()}; }
    [[nodiscard]] std::span<const ResultColumn> columns() const { return columns_; }

    [[nodiscard]] const QueryReport& report() const { return report_; }
    // Were the tables read whole, with nothing in doubt?
    [[nodiscard]] bool complete() const { return report_.complete(); }

private:
    std::vector<ResultColumn> columns_;
    std::vector<Value> values_;
    QueryReport report_;
};

template <RowType T>
Result<T> Row::read(const Value& value, std::string_view column) {
    if constexpr (std::same_as<T, double>) {
        return real(value, column);
    } else if constexpr (std::same_as<T, std::string>) {
        return std::string(VITRINE_TRY(text(value, column)));
    } else if constexpr (std::same_as<T, std::string_view>) {
        return text(value, column);
    } else if constexpr (std::same_as<T, Gva>) {
        return address(value, column);
    } else if constexpr (std::same_as<T, bool>) {
        const std::int64_t number = VITRINE_TRY(integer(value, column));
        if (number != 0 && number != 1) return does_not_fit(number, column);
        return number == 1;
    } else {
        const std::int64_t number = VITRINE_TRY(integer(value, column));
        if (!std::in_range<T>(number)) return does_not_fit(number, column);
        return static_cast<T>(number);
    }
}

template <RowValue T>
Result<T> Row::get(std::string_view column) const {
    const Value* value = VITRINE_TRY(find(column));
    if constexpr (RowType<T>) {
        return read<T>(*value, column);
    } else {
        if (std::holds_alternative<std::monostate>(*value)) return T();
        return T(VITRINE_TRY(read<typename T::value_type>(*value, column)));
    }
}

}  // namespace vitrine
