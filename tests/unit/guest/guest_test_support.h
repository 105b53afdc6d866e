// What the tests of whole guests share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/synthetic_guest.h"
#include "support/synthetic_guest_damage.h"
#include "vitrine/guest/linux_guest.h"
#include "vitrine/query/table.h"

namespace vitrine::test {

inline Result<std::unique_ptr<Guest>> attach(std::unique_ptr<Machine> machine,
                                             std::optional<FindRoute> route = std::nullopt) {
    AttachOptions options;
    options.use_cache = false;
    options.only_route = route;
    return Guest::attach(std::move(machine), options);
}

// Everything a table said.
struct Rows final : RowSink {
    explicit Rows(const Table& t) : table(t) {}
    bool row(std::span<const Value> values) override {
        widths_differ = widths_differ || values.size() != table.spec.columns.size();
        rows.emplace_back(values.begin(), values.end());
        return true;
    }
    void diagnostic(Diagnostic diagnostic) override { diagnostics.push_back(std::move(diagnostic)); }

    [[nodiscard]] std::size_t column(std::string_view name) const {
        for (std::size_t i = 0; i < table.spec.columns.size(); ++i) {
            if (table.spec.columns[i].name == name) return i;
        }
        throw std::logic_error("no column " + std::string(name));
    }
    [[nodiscard]] const Value& at(std::size_t row, std::string_view name) const {
        return rows.at(row).at(column(name));
    }
    [[nodiscard]] std::string text(std::size_t row, std::string_view name) const {
        const auto* value = std::get_if<std::string>(&at(row, name));
        return value != nullptr ? *value : "(not a text)";
    }
    [[nodiscard]] std::int64_t integer(std::size_t row, std::string_view name) const {
        const auto* value = std::get_if<std::int64_t>(&at(row, name));
        return value != nullptr ? *value : INT64_MIN;
    }
    [[nodiscard]] std::string all_diagnostics() const {
        std::string text;
        for (const Diagnostic& d : diagnostics) text += d.text + "\n";
        return text;
    }

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

inline Answer ask(Guest& guest, std::string_view name, WalkBudget budget = {}) {
    const Table* table = find_table(name);
    if (table == nullptr) throw std::logic_error("no table " + std::string(name));
    QueryContext context;
    context.budget = budget;
    Rows rows(*table);
    auto report = run_table(*table, guest, context, rows);
    return {std::move(rows), std::move(report)};
}

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

    explicit Bounded(std::string what, double seconds = 2.0, long most_kib = kMostKiB)
        : what_(std::move(what)), seconds_(seconds * kSlower), most_kib_(most_kib) {
        // Resets VmHWM, so that the peak is this test's own.
        std::ofstream("/proc/self/clear_refs") << "5";
        before_ = resident("VmRSS:");
    }
    Bounded(const Bounded&) = delete;
    Bounded& operator=(const Bounded&) = delete;
    ~Bounded() {
        EXPECT_LT(cpu() - began_, seconds_) << what_ << ": seconds of CPU time";
        const long peak = resident("VmHWM:");
        if (kMemoryTells && before_ > 0) {
            EXPECT_LT(peak - before_, most_kib_) << what_ << ": KiB of memory";
        }
    }

private:
    // CPU time: the machine that runs the tests may be loaded.
    static double cpu() {
        rusage usage{};
        getrusage(RUSAGE_SELF, &usage);
        const auto seconds = [](const timeval& t) {
            return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
        };
        return seconds(usage.ru_utime) + seconds(usage.ru_stime);
    }
    static long resident(const std::string& key) {
        std::ifstream status("/proc/self/status");
        for (std::string word; status >> word;) {
            long value = 0;
            if (word == key && status >> value) return value;
        }
        return 0;
    }

    std::string what_;
    double seconds_;
    long most_kib_;
    double began_ = cpu();
    long before_ = 0;
};

class TemporaryFolder {
public:
    TemporaryFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "vitrine-test-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
        path = name;
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
    std::filesystem::path path;
};

}  // namespace vitrine::test
