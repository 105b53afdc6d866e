// SQL text, from a user or a file of somebody else's, asked of two guests at once. Whatever it says: it ends within its limits, it changes
// nothing, and what is asked afterwards has the same answer as before. The front end's own reading of the text is beside it.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "sql/tokens.h"
#include "support/synthetic_guest.h"
#include "views/sql_scan.h"
#include "vitrine/guest/linux_guest.h"
#include "vitrine/query/database.h"

namespace {

using namespace vitrine;
using vitrine::test::GuestDescription;
using vitrine::test::SyntheticGuest;

constexpr QueryLimits kLimits{std::chrono::milliseconds(200), 2000, 16u << 20};
constexpr std::string_view kControl =
    "SELECT count(*), sum(pid), group_concat(name), count(DISTINCT vm) FROM processes";

void require(bool holds) {
    if (!holds) __builtin_trap();
}

std::unique_ptr<Guest> make_guest(std::uint32_t seed) {
    GuestDescription d;
    d.ram = {{Gpa{0}, 12u << 20}};
    d.types.seed = seed;
    const SyntheticGuest made(d);
    AttachOptions options;
    options.use_cache = false;
    auto guest = Guest::attach(made.machine(made.vcpus()), options);
    require(guest.has_value());
    return std::move(*guest);
}

struct Checking final : ResultSink {
    void columns(std::span<const ResultColumn> columns) override { width = columns.size(); }
    bool row(std::span<const Value> values) override {
        require(values.size() == width);
        for (const Value& value : values) {
            if (const auto* text = std::get_if<std::string>(&value)) require(text->size() <= (1u << 20));
        }
        ++rows;
        return true;
    }
    std::size_t width = 0;
    std::uint64_t rows = 0;
};

struct Kept final : ResultSink {
    void columns(std::span<const ResultColumn>) override {}
    bool row(std::span<const Value> values) override {
        rows.emplace_back(values.begin(), values.end());
        return true;
    }
    std::vector<std::vector<Value>> rows;
};

class Asked {
public:
    Asked() : one_(make_guest(11)), other_(make_guest(12)) {
        auto database = Database::open({{"one", *one_}, {"other", *other_}});
        require(database.has_value());
        database_ = std::move(*database);
        before_ = control();
        require(before_.size() == 1);
    }
    void ask(std::string_view sql) {
        Checking sink;
        const auto report = database_->query(sql, kLimits, sink);
        require(sink.rows <= kLimits.rows);
        if (report) {
            require(report->rows == sink.rows);
            return;
        }
        require(!report.error().to_string().empty());
        const Errc code = report.error().code;
        require(code == Errc::usage || code == Errc::limit);
    }
    void check_unchanged() { require(control() == before_); }

private:
    std::vector<std::vector<Value>> control() {
        Kept sink;
        require(database_->query(kControl, {}, sink).has_value());
        return sink.rows;
    }
    std::unique_ptr<Guest> one_, other_;
    std::unique_ptr<Database> database_;
    std::vector<std::vector<Value>> before_;
};

// Taken apart into statements the text ends, and none of it is made up.
void read_as_a_front_end(std::string_view sql) {
    std::string rest(sql);
    for (;;) {
        const std::size_t before = rest.size();
        const auto statement = cli::take_statement(rest);
        if (!statement) break;
        require(!cli::is_blank_sql(*statement) && sql.find(*statement) != std::string_view::npos);
        require(rest.size() + statement->size() <= before);
    }
    const cli::SqlScan scan = cli::scan_sql(sql);
    require(!scan.unended || *scan.unended < sql.size());
    std::vector<std::string> order;
    const std::string numbered = cli::number_parameters(sql, order);
    require(order.empty() ? numbered == sql : !numbered.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static Asked asked;
    static unsigned runs = 0;
    const std::string_view sql(reinterpret_cast<const char*>(data), size);
    read_as_a_front_end(sql);
    asked.ask(sql);
    if (++runs % 16 == 0) asked.check_unchanged();
    return 0;
}
