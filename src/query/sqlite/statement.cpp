#include "query/sqlite/statement.h"

#include <fmt/format.h>

#include <algorithm>

#include "query/run_table.h"
#include "vitrine/guest/guest.h"

namespace vitrine::sql {
namespace {

using Clock = std::chrono::steady_clock;

// So many keys of one table are looked up one by one; more, and the table is read as a whole.
constexpr std::size_t kMostLookups = 4;
constexpr unsigned kRetries = 3;

bool is_torn(WalkEnd end) { return end == WalkEnd::inconsistent || end == WalkEnd::fault || end == WalkEnd::cycle; }

// Nothing of what was read counts, and nothing more can be.
bool ends_everything(const Error& error) { return error.code == Errc::stale || error.code == Errc::io; }

Error too_much(std::string what, std::string_view option) {
    return Error::with_text(Errc::limit, Origin::user, std::move(what),
                            fmt::format("ask for less (WHERE, LIMIT, fewer columns), or raise the limit: {}", option));
}

}  // namespace

// Keeps the rows of one attempt, and what is said of them.
class Statement::StoreSink final : public RowSink {
public:
    StoreSink(Statement& statement, RowStore& store, std::vector<Diagnostic>& told)
        : statement_(statement), store_(store), told_(told) {}

    bool row(std::span<const Value> values) override {
        store_.append(values);
        if (store_.rows() % 256 != 0) return true;
        return !statement_.grows_too_large(store_) && !statement_.must_end(0);
    }
    void diagnostic(Diagnostic diagnostic) override {
        if (told_.size() < QueryReport::kMostDiagnostics || diagnostic.severity == Severity::error)
            told_.push_back(std::move(diagnostic));
        else ++untold_;
    }
    [[nodiscard]] std::uint64_t untold() const { return untold_; }

private:
    Statement& statement_;
    RowStore& store_;
    std::vector<Diagnostic>& told_;
    std::uint64_t untold_ = 0;
};

Statement::Statement(const Setting& setting) : setting_(setting), started_(Clock::now()) {}

std::chrono::milliseconds Statement::time_left() const {
    const auto gone = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - started_);
    return std::max(setting_.limits.time - gone, std::chrono::milliseconds(0));
}

bool Statement::stands_still(std::size_t guest) const {
    return setting_.paused || !setting_.guests[guest].guest.machine().is_live();
}

void Statement::fail(Error error) {
    if (!failure_) failure_ = std::move(error);
}

bool Statement::must_end(std::size_t sqlite_bytes) {
    if (failure_) return true;
    if (setting_.cancelled != nullptr && setting_.cancelled->load(std::memory_order_relaxed)) {
        fail(Error::with_text(Errc::cancelled, Origin::user, "the query was interrupted"));
    } else if (time_left().count() == 0) {
        fail(too_much(fmt::format("the query took longer than {} ms", setting_.limits.time.count()),
                      "--timeout SECONDS"));
    } else if (kept_bytes_ + sqlite_bytes > setting_.limits.memory) {
        fail(too_much(fmt::format("the query needs more than {} MiB of memory", setting_.limits.memory >> 20),
                      "--max-memory MIB"));
    }
    return failure_.has_value();
}

bool Statement::grows_too_large(const RowStore& store) {
    if (kept_bytes_ + store.bytes() <= setting_.limits.memory) return false;
    fail(too_much(fmt::format("the query needs more than {} MiB of memory", setting_.limits.memory >> 20),
                  "--max-memory MIB"));
    return true;
}

bool Statement::read(const Table& table, std::size_t guest, std::span<const Equality> equal, Slice& slice) {
    Kept& kept = kept_[{&table, guest}];
    if (!kept.known) {
        kept.known = true;
        kept.reading = readings_.size();
        TableReading& reading = readings_.emplace_back();
        reading.vm = setting_.guests[guest].name;
        reading.table = std::string(table.spec.name);
        reading.when = std::chrono::system_clock::now();
    }
    const bool is_index = !whole_only_ && !equal.empty() &&
                          table.spec.columns[equal[0].column].role == ColumnRole::index;
    if (kept.whole == nullptr && is_index) {
        for (const Keyed& known : kept.keyed) {
            if (known.column != equal[0].column || known.value != equal[0].value) continue;
            slice = {known.store.get(), true, {}};
            return true;
        }
        if (kept.keyed.size() < kMostLookups) return read_keyed(table, guest, equal.first(1), kept, slice);
    }
    if (kept.whole == nullptr) {
        kept.whole = run(table, guest, {}, kept);
        if (kept.whole == nullptr) return false;
    }
    slice = {kept.whole.get(), true, {}};
    if (!equal.empty()) {
        const std::size_t before = kept.whole->bytes();
        slice.all = false;
        slice.chosen = kept.whole->equal(equal[0].column, equal[0].value);
        kept_bytes_ += kept.whole->bytes() - before;
    }
    return true;
}

bool Statement::read_keyed(const Table& table, std::size_t guest, std::span<const Equality> equal, Kept& kept,
                           Slice& slice) {
    auto store = run(table, guest, equal, kept);
    if (store == nullptr) return false;
    slice = {store.get(), true, {}};
    kept.keyed.push_back({equal[0].column, equal[0].value, std::move(store)});
    return true;
}

std::unique_ptr<RowStore> Statement::run(const Table& table, std::size_t guest, std::span<const Equality> equal,
                                         Kept& kept) {
    const auto begin = Clock::now();
    TableReading reading;
    std::vector<Diagnostic> told;
    std::unique_ptr<RowStore> best;
    for (unsigned tries = 0;; ++tries) {
        TableReading now;
        std::vector<Diagnostic> said;
        auto store = attempt(table, guest, equal, now, said);
        if (store == nullptr) return nullptr;
        now.walk.retries += tries;
        // Of several torn walks the longest is kept.
        if (best == nullptr || !is_torn(now.walk.end) || store->rows() >= best->rows()) {
            best = std::move(store);
            reading = std::move(now);
            told = std::move(said);
        }
        reading.walk.retries = std::max(reading.walk.retries, tries);
        if (!is_torn(reading.walk.end) || tries == kRetries || stands_still(guest)) break;
        setting_.guests[guest].guest.new_generation();
    }
    for (Diagnostic& diagnostic : told) {
        diagnostic.vm = setting_.guests[guest].name;
        tell(std::move(diagnostic));
    }
    TableReading& total = readings_[kept.reading];
    // An incomplete reading is not made up for by a later one of another key.
    if (total.times == 0 || total.walk.end == WalkEnd::complete) total.walk = reading.walk;
    if (reading.failure) total.failure = std::move(reading.failure);
    total.rows += best->rows();
    ++total.times;
    total.took += std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin);
    kept_bytes_ += best->bytes();
    return must_end(0) ? nullptr : std::move(best);
}

std::unique_ptr<RowStore> Statement::attempt(const Table& table, std::size_t guest, std::span<const Equality> equal,
                                             TableReading& reading, std::vector<Diagnostic>& told) {
    Guest& of = setting_.guests[guest].guest;
    const std::uint64_t used = used_[&table];
    auto store = std::make_unique<RowStore>(table.spec.columns.size(), used);
    StoreSink sink(*this, *store, told);
    // SQLite's last bit stands for all columns from 63 on, and so it does in a QueryContext.
    QueryContext context(used);
    for (const Equality& equality : equal) context.must_equal(equality.column, equality.value);
    context.budget.time = std::min(context.budget.time, time_left());
    std::vector<Diagnostic> previous;
    const bool shows_them = table.spec.name == kDiagnosticsTable;
    for (const Diagnostic& diagnostic : shows_them ? setting_.previous : std::span<const Diagnostic>()) {
        if (diagnostic.vm == setting_.guests[guest].name) previous.push_back(diagnostic);
    }
    context.previous_diagnostics = previous;
    auto report = generate_rows(table, of, context, sink);
    tell_doubts(table, of, sink);
    diagnostic_count_ += sink.untold();
    if (failure_) return nullptr;
    if (of.machine().is_live()) {
        if (const auto same = of.verify(); !same) {
            fail(same.error());
            return nullptr;
        }
    }
    if (report) {
        reading.walk = *report;
        return store;
    }
    if (ends_everything(report.error())) {
        fail(report.error());
        return nullptr;
    }
    told.push_back({Severity::error, std::string(table.spec.name), report.error().to_string()});
    reading.failure = report.error();
    reading.walk.end = WalkEnd::fault;
    return std::make_unique<RowStore>(table.spec.columns.size(), used);
}

void Statement::tell(Diagnostic diagnostic) {
    if (diagnostic.severity == Severity::error && !said_.emplace(diagnostic.vm, diagnostic.text).second) return;
    if (diagnostic.severity != Severity::info) ++diagnostic_count_;
    // What is said of the whole answer stands first, and finds room.
    if (diagnostic.severity == Severity::error) {
        if (diagnostics_.size() == QueryReport::kMostDiagnostics) diagnostics_.pop_back();
        const std::size_t place = std::min(errors_++, diagnostics_.size());
        diagnostics_.insert(diagnostics_.begin() + static_cast<std::ptrdiff_t>(place), std::move(diagnostic));
    } else if (diagnostics_.size() < QueryReport::kMostDiagnostics) {
        diagnostics_.push_back(std::move(diagnostic));
    }
}

QueryReport Statement::report() {
    QueryReport report;
    report.readings = readings_;
    report.diagnostics = std::move(diagnostics_);
    report.diagnostic_count = diagnostic_count_;
    unsigned moments = 0;
    std::set<std::string> methods;
    for (std::size_t i = 0; i < setting_.guests.size(); ++i) {
        const Machine& machine = setting_.guests[i].guest.machine();
        methods.insert(std::string(to_string(setting_.guests[i].guest.machine().memory().method())));
        if (!machine.is_live() || setting_.paused) continue;
        for (const TableReading& reading : readings_) {
            if (reading.vm == setting_.guests[i].name) moments += reading.times;
        }
    }
    report.one_moment = moments <= 1;
    for (const std::string& method : methods) report.method += (report.method.empty() ? "" : ", ") + method;
    report.took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - started_);
    return report;
}

}  // namespace vitrine::sql
