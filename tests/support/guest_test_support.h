// What the tests of whole guests share.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/synthetic_guest.h"
#include "support/synthetic_guest_damage.h"
#include "vitrine/guest/linux_guest.h"
#include "vitrine/query/table.h"

namespace vitrine::test {

Result<std::unique_ptr<Guest>> attach(std::unique_ptr<Machine> machine, std::optional<FindRoute> route = std::nullopt);

// Everything a table said.
struct Rows final : RowSink {
    explicit Rows(const Table& t) : table(t) {}
    bool row(std::span<const Value> values) override;
    void diagnostic(Diagnostic diagnostic) override { diagnostics.push_back(std::move(diagnostic)); }

    [[nodiscard]] std::size_t column(std::string_view name) const;
    [[nodiscard]] const Value& at(std::size_t row, std::string_view name) const;
    [[nodiscard]] std::string text(std::size_t row, std::string_view name) const;
    [[nodiscard]] std::int64_t integer(std::size_t row, std::string_view name) const;
    [[nodiscard]] std::string all_diagnostics() const;

    const Table& table;
    std::vector<std::vector<Value>> rows;
    std::vector<Diagnostic> diagnostics;
    bool widths_differ = false;
};

struct Answer {
    Rows rows;
    Result<WalkReport> report;
    [[nodiscard]] WalkEnd end() const { return report ? report->end : WalkEnd::fault; }
};

Answer ask(Guest& guest, std::string_view name, WalkBudget budget = {});

// A hostile guest may cost neither much time nor much memory. Checked when it goes out of scope.
class Bounded {
public:
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    static constexpr int kSlower = 15;
    static constexpr bool kMemoryTells = false;  // the sanitizer's own is in it
#else
    static constexpr int kSlower = 1;
    static constexpr bool kMemoryTells = true;
#endif
    static constexpr long kMostKiB = 64 * 1024;

    explicit Bounded(std::string what, double seconds = 2.0, long most_kib = kMostKiB);
    Bounded(const Bounded&) = delete;
    Bounded& operator=(const Bounded&) = delete;
    ~Bounded();

private:
    // CPU time: the machine that runs the tests may be loaded.
    static double cpu();
    static long resident(const std::string& key);

    std::string what_;
    double seconds_;
    long most_kib_;
    double began_ = cpu();
    long before_ = 0;
};

class TemporaryFolder {
public:
    TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder();
    std::filesystem::path path;
};

}  // namespace vitrine::test
