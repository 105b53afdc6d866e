#include "vitrine/query/table.h"

#include <fmt/format.h>

#include <vector>

#include "query/run_table.h"
#include "vitrine/guest/guest.h"

namespace vitrine {

const Table* find_table(std::string_view name) {
    for (const Table* table : all_tables()) {
        if (table->spec.name == name) return table;
    }
    return nullptr;
}

std::string_view to_string(ColumnType type) {
    switch (type) {
        case ColumnType::integer: return "integer";
        case ColumnType::address: return "address";
        case ColumnType::real: return "real";
        case ColumnType::text: return "text";
        case ColumnType::boolean: return "boolean";
    }
    return "unknown";
}

std::string_view to_string(Unit unit) {
    switch (unit) {
        case Unit::none: return "";
        case Unit::bytes: return "bytes";
        case Unit::pages: return "pages";
        case Unit::epoch_seconds: return "seconds since 1970 UTC";
        case Unit::seconds: return "seconds";
        case Unit::milliseconds: return "milliseconds";
        case Unit::nanoseconds: return "nanoseconds";
    }
    return "";
}

const Value* QueryContext::wanted(std::size_t column) const {
    for (const auto& [wanted, value] : equal_) {
        if (wanted == column) return &value;
    }
    return nullptr;
}

std::optional<std::int64_t> QueryContext::wanted_integer(std::size_t column) const {
    const Value* value = wanted(column);
    const auto* number = value == nullptr ? nullptr : std::get_if<std::int64_t>(value);
    return number == nullptr ? std::nullopt : std::optional(*number);
}

std::optional<std::uint64_t> QueryContext::wanted_address(std::size_t column) const {
    const Value* value = wanted(column);
    const auto* address = value == nullptr ? nullptr : std::get_if<AddressValue>(value);
    return address == nullptr ? std::nullopt : std::optional(address->value);
}

const std::string* QueryContext::wanted_text(std::size_t column) const {
    const Value* value = wanted(column);
    return value == nullptr ? nullptr : std::get_if<std::string>(value);
}

const Generator* Table::generator_for(std::string_view os) const {
    for (const Generator& generator : generators) {
        if (generator.os == os || generator.os.empty()) return &generator;
    }
    return nullptr;
}

namespace {

// Holds rows back until release().
class HeldRows final : public RowSink {
public:
    static constexpr std::size_t kMostRows = 65'536;
    static constexpr std::size_t kMostBytes = 32u << 20;
    explicit HeldRows(RowSink& to) : to_(to) {}

    bool row(std::span<const Value> values) override {
        if (!released_ && (rows_.size() >= kMostRows || bytes_ >= kMostBytes)) release();
        if (released_) return going_ && (going_ = to_.row(values));
        rows_.emplace_back(values.begin(), values.end());
        bytes_ += values.size_bytes();
        for (const Value& value : values) {
            if (const auto* text = std::get_if<std::string>(&value)) bytes_ += text->size();
        }
        return true;
    }
    void diagnostic(Diagnostic diagnostic) override { to_.diagnostic(std::move(diagnostic)); }

    void release() {
        if (released_) return;
        released_ = true;
        for (const std::vector<Value>& row : rows_) {
            if (!(going_ = to_.row(row))) break;
        }
        rows_ = {};
    }
    [[nodiscard]] bool stopped() const { return !going_; }

private:
    RowSink& to_;
    std::vector<std::vector<Value>> rows_;
    std::size_t bytes_ = 0;
    bool released_ = false;
    bool going_ = true;
};

}  // namespace

// A value that could not be read is NULL, and a table need not say of each why: here it is said that there were some.
Result<WalkReport> generate_rows(const Table& table, Guest& guest, QueryContext& context, RowSink& sink) {
    const Generator* generator = table.generator_for(guest.kernel().os);
    if (generator == nullptr) {
        return Error::with_text(Errc::unsupported, Origin::table,
                                fmt::format("there is no table {} for this kind of guest", table.spec.name));
    }
    const std::uint64_t before = guest.machine().memory().refusals().count;
    auto report = generator->run(guest, context, sink);
    const GuestMemory::Refusals after = guest.machine().memory().refusals();
    if (after.count != before) {
        sink.diagnostic(
            {Severity::warning, std::string(table.spec.name),
             fmt::format("{} reads of the guest's memory failed, the last at guest-physical {:#x}: values or "
                         "rows may be missing",
                         after.count - before, after.last.value)});
    }
    return report;
}

// Of the answer as a whole, and so above whatever is said of single rows.
void tell_doubts(const Table& table, Guest& guest, RowSink& sink) {
    const MachineInfo& machine = guest.machine().info();
    for (std::string doubt : {machine.uncovered, machine.unproven_order, guest.doubt()}) {
        if (!doubt.empty()) sink.diagnostic({Severity::error, std::string(table.spec.name), std::move(doubt)});
    }
}

Result<WalkReport> run_table(const Table& table, Guest& guest, QueryContext& context, RowSink& sink) {
    if (!guest.machine().is_live()) {
        tell_doubts(table, guest, sink);
        return generate_rows(table, guest, context, sink);
    }
    HeldRows held(sink);
    auto report = generate_rows(table, guest, context, held);
    tell_doubts(table, guest, sink);  // before it is certain that the clock in question is still there
    VITRINE_CHECK(guest.verify());
    if (!report) return report;
    held.release();
    if (held.stopped()) report->end = WalkEnd::stopped;
    return report;
}

}  // namespace vitrine
