#include "query.h"

#include <chrono>
#include <deque>
#include <future>
#include <system_error>
#include <utility>

#include "failure.h"
#include "vitrine/base/function_ref.h"

namespace vitrine::python {
namespace {

using namespace std::chrono_literals;
using namespace pybind11::literals;

constexpr auto kSignalsLookedAt = 20ms;

class CollectingSink final : public ResultSink {
public:
    explicit CollectingSink(std::uint64_t most_bytes) : most_bytes_(most_bytes) {}

    void columns(std::span<const ResultColumn> given) override { columns_.assign(given.begin(), given.end()); }
    bool row(std::span<const Value> values) override {
        bytes_ += sizeof(std::vector<Value>) + values.size() * sizeof(Value);
        for (const Value& value : values) {
            if (const auto* text = std::get_if<std::string>(&value)) bytes_ += text->size();
        }
        if (bytes_ > most_bytes_) return false;
        rows_.emplace_back(values.begin(), values.end());
        return true;
    }

    [[nodiscard]] bool is_full() const { return bytes_ > most_bytes_; }
    [[nodiscard]] const std::vector<ResultColumn>& header() const { return columns_; }
    // Gives them away one by one, so that they are not kept twice.
    [[nodiscard]] py::list take_rows(const py::object& row_class) {
        py::list list;
        for (; !rows_.empty(); rows_.pop_front()) {
            const auto& values = rows_.front();
            py::tuple row(values.size());
            for (std::size_t i = 0; i < values.size(); ++i) row[i] = to_python(values[i], columns_[i].type);
            list.append(row_class(row));
        }
        return list;
    }

private:
    std::uint64_t most_bytes_;
    std::uint64_t bytes_ = 0;
    std::vector<ResultColumn> columns_;
    std::deque<std::vector<Value>> rows_;
};

std::future<Result<QueryReport>> begin(FunctionRef<Result<QueryReport>()> ask) {
    try {
        return std::async(std::launch::async, ask);
    } catch (const std::system_error& error) {
        throw Failure(Error::with_text(Errc::limit, Origin::user,
                                       std::string("no thread can be started for the query: ") + error.what()));
    }
}

// The statement runs in a thread of its own, because only this one can run Python's signal handlers.
Result<QueryReport> run(Session& session, std::string_view sql, std::span<const Value> parameters,
                        const QueryLimits& limits, ResultSink& sink) {
    const Session::Use use(session);
    const Session::Announced announced(session);
    const auto ask = [&] { return session.ask(sql, parameters, limits, sink); };
    auto answer = begin(ask);
    std::optional<py::error_already_set> raised;
    while (!raised && answer.wait_for(kSignalsLookedAt) != std::future_status::ready) {
        const py::gil_scoped_acquire interpreter;
        if (PyErr_CheckSignals() != 0) raised.emplace();
    }
    if (raised) session.interrupt();
    auto report = answer.get();
    if (raised) {
        const py::gil_scoped_acquire interpreter;
        throw *std::exchange(raised, std::nullopt);
    }
    return report;
}

py::tuple column_tuples(std::span<const ResultColumn> columns) {
    py::tuple all(columns.size());
    for (std::size_t i = 0; i < columns.size(); ++i) {
        const ResultColumn& column = columns[i];
        all[i] = py::make_tuple(to_text(column.name), to_text(to_string(column.type)),
                                to_text_or_none(to_string(column.unit)), to_text_or_none(column.table));
    }
    return all;
}

py::list diagnostic_tuples(std::span<const Diagnostic> diagnostics) {
    static constexpr const char* kSeverities[] = {"info", "warning", "error"};
    py::list all;
    for (const Diagnostic& diagnostic : diagnostics) {
        all.append(py::make_tuple(kSeverities[static_cast<std::size_t>(diagnostic.severity)], to_text(diagnostic.table),
                                  to_text(diagnostic.text),
                                  diagnostic.address != 0 ? to_address(diagnostic.address) : py::none(),
                                  to_text_or_none(diagnostic.vm)));
    }
    return all;
}

py::list reading_tuples(std::span<const TableReading> readings) {
    py::list all;
    for (const TableReading& reading : readings) {
        all.append(py::make_tuple(to_text(reading.vm), to_text(reading.table), reading.rows, reading.times,
                                  seconds(reading.took), seconds(reading.when.time_since_epoch()),
                                  to_text(to_string(reading.walk.end)), reading.walk.retries,
                                  to_text_or_none(reading.failure ? reading.failure->to_string() : std::string())));
    }
    return all;
}

}  // namespace

py::tuple query(Session& session, const py::str& sql, const py::sequence& parameters, const QueryLimits& limits,
                const py::object& make_row_class) {
    const std::string text = to_bytes(sql);
    std::vector<Value> values;
    for (const py::handle parameter : parameters) values.push_back(to_value(parameter));
    CollectingSink sink(limits.memory);
    const QueryReport report = value_of(run(session, text, values, limits, sink));
    if (sink.is_full()) {
        throw Failure(Error::with_text(Errc::limit, Origin::user,
                                       "the answer takes more than " + std::to_string(limits.memory) + " bytes",
                                       "memory= allows more; ask for fewer rows or columns"));
    }
    const py::tuple columns = column_tuples(sink.header());
    const py::object row_class = make_row_class(columns);
    py::dict told("columns"_a = columns, "complete"_a = report.complete(),
                  "diagnostics"_a = diagnostic_tuples(report.diagnostics),
                  "diagnostic_count"_a = report.diagnostic_count, "readings"_a = reading_tuples(report.readings),
                  "took"_a = seconds(report.took), "method"_a = to_text(report.method),
                  "one_moment"_a = report.one_moment);
    return py::make_tuple(sink.take_rows(row_class), told);
}

}  // namespace vitrine::python
