#include "support/guest_test_support.h"

#include <malloc.h>
#include <sys/resource.h>

#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <variant>

namespace vitrine::test {

Result<std::unique_ptr<Guest>> attach(std::unique_ptr<Machine> machine, std::optional<FindRoute> route) {
    AttachOptions options;
    options.use_cache = false;
    options.only_route = route;
    return Guest::attach(std::move(machine), options);
}

bool Rows::row(std::span<const Value> values) {
    widths_differ = widths_differ || values.size() != table.spec.columns.size();
    rows.emplace_back(values.begin(), values.end());
    return true;
}

std::size_t Rows::column(std::string_view name) const {
    for (std::size_t i = 0; i < table.spec.columns.size(); ++i) {
        if (table.spec.columns[i].name == name) return i;
    }
    throw std::logic_error("no column " + std::string(name));
}

const Value& Rows::at(std::size_t row, std::string_view name) const { return rows.at(row).at(column(name)); }

std::string Rows::text(std::size_t row, std::string_view name) const {
    const auto* value = std::get_if<std::string>(&at(row, name));
    return value != nullptr ? *value : "(not a text)";
}

std::int64_t Rows::integer(std::size_t row, std::string_view name) const {
    const auto* value = std::get_if<std::int64_t>(&at(row, name));
    return value != nullptr ? *value : INT64_MIN;
}

std::string Rows::all_diagnostics() const {
    std::string text;
    for (const Diagnostic& d : diagnostics) text += d.text + "\n";
    return text;
}

Answer ask(Guest& guest, std::string_view name, WalkBudget budget) {
    const Table* table = find_table(name);
    if (table == nullptr) throw std::logic_error("no table " + std::string(name));
    QueryContext context;
    context.budget = budget;
    Rows rows(*table);
    auto report = run_table(*table, guest, context, rows);
    return {std::move(rows), std::move(report)};
}

Bounded::Bounded(std::string what, double seconds, long most_kib)
    : what_(std::move(what)), seconds_(seconds * kSlower), most_kib_(most_kib) {
    mallopt(M_MMAP_THRESHOLD, 1 << 20);  // as the program has it
    // Resets VmHWM, so that the peak is this test's own.
    std::ofstream("/proc/self/clear_refs") << "5";
    before_ = resident("VmRSS:");
}

Bounded::~Bounded() {
    EXPECT_LT(cpu() - began_, seconds_) << what_ << ": seconds of CPU time";
    const long peak = resident("VmHWM:");
    if (kMemoryTells && before_ > 0) {
        EXPECT_LT(peak - before_, most_kib_) << what_ << ": KiB of memory";
    }
}

double Bounded::cpu() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

long Bounded::resident(const std::string& key) {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;) {
        long value = 0;
        if (word == key && status >> value) return value;
    }
    return 0;
}

TemporaryFolder::TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "vitrine-test-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path = name;
}

TemporaryFolder::~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
}

}  // namespace vitrine::test
