#include "vitrine/query/table.h"

#include <fmt/format.h>

#include <vector>

#include "vitrine/guest/guest.h"

namespace vitrine {

const Table* find_table(std::string_view name) {
    for (const Table* table : all_tables()) {
        if (table->spec.name == name) return table;
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

Result<WalkReport> generate(const Table& table, Guest& guest, QueryContext& context, RowSink& sink) {
    LinuxGuest* linux_guest = guest.as_linux();
    if (linux_guest != nullptr && table.generate_linux != nullptr)
        return table.generate_linux(*linux_guest, context, sink);
    if (table.generate_any != nullptr) return table.generate_any(guest, context, sink);
    return Error::with_text(Errc::unsupported, Origin::table,
                            fmt::format("there is no table {} for this kind of guest", table.spec.name));
}

}  // namespace

Result<WalkReport> run_table(const Table& table, Guest& guest, QueryContext& context, RowSink& sink) {
    // Of the answer as a whole, and so above whatever is said of single rows.
    const auto tell = [&](std::string doubt) {
        if (!doubt.empty()) sink.diagnostic({Severity::error, std::string(table.spec.name), std::move(doubt)});
    };
    tell(guest.machine().info().uncovered);
    tell(guest.machine().info().unproven_order);
    if (!guest.machine().is_live()) {
        tell(guest.doubt());
        return generate(table, guest, context, sink);
    }
    HeldRows held(sink);
    auto report = generate(table, guest, context, held);
    std::string doubt = guest.doubt();  // before it is certain that the clock in question is still there
    VITRINE_CHECK(guest.verify());
    if (!report) return report;
    tell(std::move(doubt));
    held.release();
    if (held.stopped()) report->end = WalkEnd::stopped;
    return report;
}

}  // namespace vitrine
