#include "query/sqlite/statement.h"

#include <fmt/format.h>

#include <algorithm>

#include "query/run_table.h"
#include "query/sqlite/passing_sink.h"
#include "vitrine/guest/guest.h"

namespace vitrine::sql {
namespace {

using Clock = std::chrono::steady_clock;

// So many parts of one table are read one by one; more, and the table is read as a whole.
constexpr std::size_t kMostParts = 4;
constexpr unsigned kRetries = 3;

bool is_torn(WalkEnd end) { return end == WalkEnd::inconsistent || end == WalkEnd::fault || end == WalkEnd::cycle; }

// Nothing of what was read counts, and nothing more can be.
bool ends_everything(const Error& error) { return error.code == Errc::stale || error.code == Errc::io; }

// The part of a table that is read where these rows are wanted; empty: all of it, and equal values are found in what was read.
Wanted part_of(const Table& table, const Wanted& wanted) {
    if (wanted.equal.empty()) return {{}, wanted.pattern};
    const Equality& equal = wanted.equal.front();
    if (table.spec.columns[equal.column].role != ColumnRole::index) return {};
    return {{equal}, {}};
}

Error too_much(std::string what, std::string_view option) {
    return Error::with_text(Errc::limit, Origin::user, std::move(what),
                            fmt::format("ask for less (WHERE, LIMIT, fewer columns), or raise the limit: {}", option));
}

}  // namespace

// Keeps the rows of one attempt, and what is said of them.
class Statement::StoreSink final : public RowSink {
public:
    StoreSink(Statement& statement, RowStore& store, const TextPattern* pattern, std::vector<Diagnostic>& told)
        : statement_(statement), store_(store), pattern_(pattern), said_(told) {}

    bool row(std::span<const Value> values) override {
        if (pattern_ == nullptr || pattern_->matches(values[pattern_->column])) store_.append(values);
        if (++rows_ % 256 != 0) return true;
        return !statement_.grows_too_large(store_) && !statement_.must_end(0);
    }
    void diagnostic(Diagnostic diagnostic) override { said_.add(std::move(diagnostic)); }
    [[nodiscard]] std::uint64_t untold() const { return said_.untold(); }

private:
    Statement& statement_;
    RowStore& store_;
    const TextPattern* pattern_;  // of the rows that are kept; null: all are
    std::size_t rows_ = 0;
    Said said_;
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

Statement::Kept& Statement::known(const Table& table, std::size_t guest) {
    Kept& kept = kept_[{&table, guest}];
    if (kept.known) return kept;
    kept.known = true;
    kept.reading = readings_.size();
    TableReading& reading = readings_.emplace_back();
    reading.vm = setting_.guests[guest].name;
    reading.table = std::string(table.spec.name);
    reading.when = std::chrono::system_clock::now();
    return kept;
}

bool Statement::read(const Table& table, std::size_t guest, const Wanted& wanted, Slice& slice) {
    Kept& kept = known(table, guest);
    const Wanted part = part_of(table, wanted);
    if (kept.whole == nullptr && !whole_only_ && part != Wanted{}) {
        for (const Part& known : kept.parts) {
            if (known.wanted != part) continue;
            slice = {known.store.get(), true, {}};
            return true;
        }
        if (kept.parts.size() < kMostParts) {
            auto store = run(table, guest, part, kept);
            if (store == nullptr) return false;
            slice = {store.get(), true, {}};
            kept.parts.push_back({part, std::move(store)});
            return true;
        }
    }
    if (kept.whole == nullptr) {
        kept.whole = run(table, guest, {}, kept);
        if (kept.whole == nullptr) return false;
    }
    slice = {kept.whole.get(), true, {}};
    if (wanted.equal.empty()) return true;
    const Equality& equal = wanted.equal.front();
    const std::size_t before = kept.whole->bytes();
    slice.all = false;
    slice.chosen = kept.whole->equal(equal.column, equal.value);
    kept_bytes_ += kept.whole->bytes() - before;
    return true;
}

std::unique_ptr<RowStore> Statement::run(const Table& table, std::size_t guest, const Wanted& wanted, Kept& kept) {
    const auto begin = Clock::now();
    TableReading reading;
    std::vector<Diagnostic> told;
    std::unique_ptr<RowStore> best;
    for (unsigned tries = 0;; ++tries) {
        TableReading now;
        std::vector<Diagnostic> said;
        auto store = attempt(table, guest, wanted, now, said);
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
    tell_of(guest, told);
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

std::unique_ptr<RowStore> Statement::attempt(const Table& table, std::size_t guest, const Wanted& wanted,
                                             TableReading& reading, std::vector<Diagnostic>& told) {
    auto store = std::make_unique<RowStore>(table.spec.columns.size(), used_[&table]);
    StoreSink sink(*this, *store, wanted.pattern ? &*wanted.pattern : nullptr, told);
    const bool all = generate(table, guest, wanted, reading, sink);
    diagnostic_count_ += sink.untold();
    if (!all) return nullptr;
    return reading.failure ? std::make_unique<RowStore>(table.spec.columns.size(), used_[&table]) : std::move(store);
}

bool Statement::read_through(const Table& table, std::size_t guest, RowSink& to) {
    const auto begin = Clock::now();
    const std::size_t place = known(table, guest).reading;
    std::vector<Diagnostic> told;
    PassingSink sink(to, told);
    TableReading reading;
    const bool all = generate(table, guest, {}, reading, sink);
    diagnostic_count_ += sink.untold();
    tell_of(guest, told);
    TableReading& total = readings_[place];
    total.walk = reading.walk;
    // Who wants no more rows has those he wanted, as of any other statement.
    if (sink.stopped()) total.walk.end = WalkEnd::complete;
    total.failure = std::move(reading.failure);
    total.rows = sink.rows();
    total.times = 1;
    total.took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin);
    return all && !sink.stopped() && !must_end(0);
}

// Runs the generator. False: failure() is set.
bool Statement::generate(const Table& table, std::size_t guest, const Wanted& wanted, TableReading& reading,
                         RowSink& sink) {
    Guest& of = setting_.guests[guest].guest;
    // SQLite's last bit stands for all columns from 63 on, and so it does in a QueryContext.
    QueryContext context(used_[&table]);
    for (const Equality& equality : wanted.equal) context.must_equal(equality.column, equality.value);
    context.budget.time = std::min(context.budget.time, time_left());
    std::vector<Diagnostic> previous;
    const bool shows_them = table.spec.name == kDiagnosticsTable;
    for (const Diagnostic& diagnostic : shows_them ? setting_.previous : std::span<const Diagnostic>()) {
        if (diagnostic.vm == setting_.guests[guest].name) previous.push_back(diagnostic);
    }
    context.previous_diagnostics = previous;
    auto report = generate_rows(table, of, context, sink);
    tell_doubts(table, of, sink);
    if (failure_) return false;
    if (of.machine().is_live()) {
        if (const auto same = of.verify(); !same) {
            fail(same.error());
            return false;
        }
    }
    if (report) {
        reading.walk = *report;
        return true;
    }
    if (ends_everything(report.error())) {
        fail(report.error());
        return false;
    }
    sink.diagnostic({Severity::error, std::string(table.spec.name), report.error().to_string()});
    reading.failure = report.error();
    reading.walk.end = WalkEnd::fault;
    return true;
}

void Statement::tell_of(std::size_t guest, std::vector<Diagnostic>& told) {
    for (Diagnostic& diagnostic : told) {
        diagnostic.vm = setting_.guests[guest].name;
        tell(std::move(diagnostic));
    }
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
