// One SQL statement after the other over a group of guests: rows to an output, and on standard error what is to be said of them.
#pragma once

#include <string>
#include <string_view>

#include "app/session.h"
#include "sql/guest_group.h"

namespace vitrine::cli {

struct SqlSettings {
    QueryLimits limits;
    bool paused = false;  // all guests that run stand still for each statement
    bool strict = false;  // an answer that may be incomplete is a failure
    bool tell = false;    // each answer ends with a line about it; otherwise only what is not complete is told
    bool timing = false;  // and one line for each table that was read
};

class SqlRunner {
public:
    SqlRunner(Session& session, GuestGroup& group) : session_(session), group_(group) {}

    // Reports what fails; returns the exit code. Ctrl-C stops the statement: then interrupted() is true.
    int run(std::string_view statement, const SqlSettings& settings, Output& output, const Style& style);

    // All statements of a text, up to the first that fails; the last needs no semicolon.
    int run_all(std::string text, const SqlSettings& settings, Output& output, const Style& style);

    [[nodiscard]] const QueryReport& last_report() const { return last_; }  // of the last statement that was answered
    // A guest turned out to be another than was attached to, or gone, while the last statement ran.
    [[nodiscard]] bool guests_changed() const { return guests_changed_; }

private:
    Result<QueryReport> ask(std::string_view statement, const SqlSettings& settings, Output& output, ResultSink& sink);
    int failed(const Error& error, std::string_view statement);
    void tell(const SqlSettings& settings) const;
    [[nodiscard]] std::string closing_line() const;

    Session& session_;
    GuestGroup& group_;
    QueryReport last_;
    std::optional<std::chrono::microseconds> paused_for_;
    bool guests_changed_ = false;
};

}  // namespace vitrine::cli
