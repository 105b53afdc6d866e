#include "vitrine/query/row_set.h"

#include <fmt/format.h>

#include <algorithm>

namespace vitrine {
namespace {

std::string_view kind_of(const Value& value) {
    if (std::holds_alternative<std::int64_t>(value)) return "an integer";
    if (std::holds_alternative<double>(value)) return "a real number";
    if (std::holds_alternative<AddressValue>(value)) return "an address";
    return "a text";
}

Error is_not(std::string_view wanted, const Value& value, std::string_view column) {
    if (std::holds_alternative<std::monostate>(value)) {
        return Error::with_text(Errc::not_found, Origin::user, fmt::format("column '{}' is NULL here", column),
                                "ask for a std::optional where a value may be unknown");
    }
    return Error::with_text(Errc::usage, Origin::user,
                            fmt::format("column '{}' is {} here, not {}", column, kind_of(value), wanted));
}

// Keeps all rows, up to a number of bytes.
class Keeping final : public ResultSink {
public:
    explicit Keeping(std::uint64_t most) : left_(most) {}

    void columns(std::span<const ResultColumn> columns) override { header.assign(columns.begin(), columns.end()); }
    bool row(std::span<const Value> given) override {
        std::uint64_t size = given.size_bytes();
        for (const Value& value : given) {
            if (const auto* text = std::get_if<std::string>(&value)) size += text->size();
        }
        full = size > left_;
        if (full) return false;
        left_ -= size;
        values.insert(values.end(), given.begin(), given.end());
        return true;
    }

    std::vector<ResultColumn> header;
    std::vector<Value> values;
    bool full = false;

private:
    std::uint64_t left_;
};

}  // namespace

Result<const Value*> Row::find(std::string_view column) const {
    const auto named = [&](const ResultColumn& of) { return of.name == column; };
    const auto found = std::ranges::find_if(columns_, named);
    if (found == columns_.end()) {
        return Error::with_text(Errc::not_found, Origin::user, fmt::format("the answer has no column '{}'", column));
    }
    if (std::any_of(found + 1, columns_.end(), named)) {
        return Error::with_text(Errc::ambiguous, Origin::user,
                                fmt::format("the answer has several columns '{}'", column), "name them apart, with AS");
    }
    return &values_[static_cast<std::size_t>(found - columns_.begin())];
}

Result<std::int64_t> Row::integer(const Value& value, std::string_view column) {
    const auto* number = std::get_if<std::int64_t>(&value);
    if (number == nullptr) return is_not("an integer", value, column);
    return *number;
}

Result<double> Row::real(const Value& value, std::string_view column) {
    if (const auto* real = std::get_if<double>(&value)) return *real;
    if (const auto* number = std::get_if<std::int64_t>(&value)) return static_cast<double>(*number);
    return is_not("a number", value, column);
}

Result<std::string_view> Row::text(const Value& value, std::string_view column) {
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr) return is_not("a text", value, column);
    return std::string_view(*text);
}

// SQL computes with addresses as signed integers.
Result<Gva> Row::address(const Value& value, std::string_view column) {
    if (const auto* address = std::get_if<AddressValue>(&value)) return Gva{address->value};
    if (const auto* number = std::get_if<std::int64_t>(&value)) return Gva{static_cast<std::uint64_t>(*number)};
    return is_not("an address", value, column);
}

Error Row::does_not_fit(std::int64_t value, std::string_view column) {
    return Error::with_text(Errc::out_of_range, Origin::user,
                            fmt::format("column '{}' is {} here, which the type asked for cannot hold", column, value));
}

Result<RowSet> Database::query(std::string_view sql, std::span<const Value> parameters, const QueryLimits& limits) {
    Keeping sink(limits.memory);
    QueryReport report = VITRINE_TRY(query(sql, parameters, limits, sink));
    if (sink.full) {
        return Error::with_text(Errc::limit, Origin::user,
                                fmt::format("the answer takes more than the {} bytes allowed", limits.memory),
                                "ask for less, or take the rows one by one (ResultSink)");
    }
    return RowSet(std::move(sink.header), std::move(sink.values), std::move(report));
}

}  // namespace vitrine
