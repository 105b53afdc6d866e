// What one statement reads of the guests: each table of each guest at most once as a whole, or a few times by key; and the limits it runs
// under. It ends with the statement.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "query/sqlite/row_store.h"
#include "query/sqlite/text_pattern.h"
#include "vitrine/query/database.h"

namespace vitrine::sql {

inline constexpr std::string_view kDiagnosticsTable = "vitrine_diagnostics";

// column = value
struct Equality {
    std::size_t column;
    Value value;
    friend bool operator==(const Equality&, const Equality&) = default;
};

// What the rows of one table are asked for by. Who asks drops what does not fit himself.
struct Wanted {
    std::vector<Equality> equal;  // the first is the one that is looked up
    std::optional<TextPattern> pattern;
    friend bool operator==(const Wanted&, const Wanted&) = default;
};

// Rows of one store: all, or some.
struct Slice {
    const RowStore* store = nullptr;
    bool all = true;
    std::vector<std::uint32_t> chosen;
    [[nodiscard]] std::size_t size() const { return all ? store->rows() : chosen.size(); }
    [[nodiscard]] std::size_t row(std::size_t i) const { return all ? i : chosen[i]; }
};

class Statement {
public:
    struct Setting {
        std::span<const NamedGuest> guests;
        QueryLimits limits;
        bool paused = false;                   // the guests stand still
        std::span<const Diagnostic> previous;  // of the statement before
        const std::atomic<bool>* cancelled = nullptr;
    };
    explicit Statement(const Setting& setting);

    // Before the first read(): the statement uses these columns of the table (as SQLite's colUsed).
    void use(const Table& table, std::uint64_t columns) { used_[&table] |= columns; }

    // A row must have the same number however it is reached: then nothing is looked up by key.
    void needs_row_numbers() { whole_only_ = true; }

    // The rows that are wanted, or more; none when the guest has no such table (that is a diagnostic). False: the statement must end; failure()
    // says why.
    bool read(const Table& table, std::size_t guest, const Wanted& wanted, Slice& slice);

    // All rows of a guest that does not run, handed to `to` as they are made instead of kept. False: the statement must end, or `to` wants no more.
    bool read_through(const Table& table, std::size_t guest, RowSink& to);

    // Looked at between steps. True: failure() is set.
    bool must_end(std::size_t sqlite_bytes);
    [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }
    void fail(Error error);

    void tell(Diagnostic diagnostic);
    // Takes what was gathered.
    [[nodiscard]] QueryReport report();

private:
    struct Part {
        Wanted wanted;
        std::unique_ptr<RowStore> store;
    };
    struct Kept {
        std::unique_ptr<RowStore> whole;
        std::vector<Part> parts;
        std::size_t reading = 0;  // index into readings_
        bool known = false;
    };
    class StoreSink;

    Kept& known(const Table& table, std::size_t guest);
    std::unique_ptr<RowStore> run(const Table& table, std::size_t guest, const Wanted& wanted, Kept& kept);
    std::unique_ptr<RowStore> attempt(const Table& table, std::size_t guest, const Wanted& wanted,
                                      TableReading& reading, std::vector<Diagnostic>& told);
    bool generate(const Table& table, std::size_t guest, const Wanted& wanted, TableReading& reading, RowSink& sink);
    void tell_of(std::size_t guest, std::vector<Diagnostic>& told);
    [[nodiscard]] bool grows_too_large(const RowStore& store);
    [[nodiscard]] bool stands_still(std::size_t guest) const;
    [[nodiscard]] std::chrono::milliseconds time_left() const;

    Setting setting_;
    std::chrono::steady_clock::time_point started_;
    std::map<const Table*, std::uint64_t> used_;
    std::map<std::pair<const Table*, std::size_t>, Kept> kept_;
    std::vector<TableReading> readings_;
    std::vector<Diagnostic> diagnostics_;
    std::set<std::pair<std::string, std::string>> said_;  // (vm, text) of those of severity error: said once
    std::uint64_t diagnostic_count_ = 0;
    std::size_t errors_ = 0;
    std::size_t kept_bytes_ = 0;
    bool whole_only_ = false;
    std::optional<Error> failure_;
};

}  // namespace vitrine::sql
