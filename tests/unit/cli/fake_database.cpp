// A database that answers as the test's script says.
#include "fake_engine.h"

namespace vitrine::cli::test {
namespace {

class FakeDatabase final : public Database {
public:
    FakeDatabase(Script& script, std::span<const Table* const> tables) : script_(script), tables_(tables) {}

    Result<QueryReport> query(std::string_view sql, const QueryLimits& limits, ResultSink& sink) override {
        script_.statements.emplace_back(sql);
        script_.limits = limits;
        script_.statement_while_paused = script_.pauses > script_.resumes;
        if (script_.on_query) return script_.on_query(sql, sink);
        const std::vector<ResultColumn> columns{{"pid", ColumnType::integer, Unit::none, "processes"},
                                                {"name", ColumnType::text, Unit::none, "processes"},
                                                {"task", ColumnType::address, Unit::none, "processes"}};
        return answer(sink, columns, {{std::int64_t{1}, std::string("init"), AddressValue{0xffff888000000001}}});
    }
    Result<QueryReport> query(std::string_view sql, std::span<const Value>, const QueryLimits& limits,
                              ResultSink& sink) override {
        return query(sql, limits, sink);
    }
    void set_paused(bool paused) override { script_.told_paused = script_.told_paused || paused; }
    void interrupt() override { ++script_.database_interrupts; }
    [[nodiscard]] std::span<const Table* const> tables() const override { return tables_; }

private:
    Script& script_;
    std::span<const Table* const> tables_;
};

}  // namespace

QueryReport answer(ResultSink& sink, std::span<const ResultColumn> columns,
                   const std::vector<std::vector<Value>>& rows) {
    QueryReport report;
    sink.columns(columns);
    for (const auto& row : rows) {
        ++report.rows;
        if (!sink.row(row)) {
            report.stopped = true;
            break;
        }
    }
    report.readings.push_back({"web1",
                               "processes",
                               {},
                               rows.size(),
                               1,
                               std::chrono::microseconds(2500),
                               std::chrono::system_clock::time_point(std::chrono::seconds(1704067200)),
                               {}});
    report.took = std::chrono::microseconds(3210);
    report.method = "mapped";
    return report;
}

Result<std::unique_ptr<Database>> FakeEngine::open_database(std::vector<NamedGuest> guests) {
    script_.vms.clear();
    for (const NamedGuest& guest : guests) script_.vms.push_back(guest.name);
    if (script_.real_database) return Database::open(std::move(guests), tables());
    return std::make_unique<FakeDatabase>(script_, tables());
}

}  // namespace vitrine::cli::test
