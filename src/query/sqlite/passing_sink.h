// What a generator says and gives, on its way: rows go on, diagnostics are kept.
#pragma once

#include <utility>
#include <vector>

#include "vitrine/query/database.h"

namespace vitrine::sql {

// Keeps what is said, up to a number; what is said of the answer as a whole always finds room.
class Said {
public:
    explicit Said(std::vector<Diagnostic>& told) : told_(told) {}
    void add(Diagnostic diagnostic) {
        if (told_.size() < QueryReport::kMostDiagnostics || diagnostic.severity == Severity::error)
            told_.push_back(std::move(diagnostic));
        else ++untold_;
    }
    [[nodiscard]] std::uint64_t untold() const { return untold_; }

private:
    std::vector<Diagnostic>& told_;
    std::uint64_t untold_ = 0;
};

class PassingSink final : public RowSink {
public:
    PassingSink(RowSink& to, std::vector<Diagnostic>& told) : to_(to), said_(told) {}

    bool row(std::span<const Value> values) override {
        ++rows_;
        stopped_ = !to_.row(values);
        return !stopped_;
    }
    void diagnostic(Diagnostic diagnostic) override { said_.add(std::move(diagnostic)); }
    [[nodiscard]] std::uint64_t untold() const { return said_.untold(); }
    [[nodiscard]] std::uint64_t rows() const { return rows_; }
    [[nodiscard]] bool stopped() const { return stopped_; }

private:
    RowSink& to_;
    Said said_;
    std::uint64_t rows_ = 0;
    bool stopped_ = false;
};

}  // namespace vitrine::sql
