// One statement asked of one guest, and what is said about the answer on standard error.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "app/session.h"
#include "vitrine/query/database.h"

namespace vitrine::cli {

struct Answer {
    QueryReport report;
    std::optional<std::chrono::microseconds> paused_for;

    [[nodiscard]] std::uint64_t rows_read() const;  // of all tables
    // Why a table could not be read at all; null if there is none.
    [[nodiscard]] const Error* failure() const;
};

// A database over one guest. Ends before the guest does.
class Question {
public:
    // Reports what fails.
    static OrExit<Question> open(Session& session, std::string_view target, Guest& guest);

    // paused: the guest stands still while it is read, and rows are written once it goes on.
    Result<Answer> ask(std::string_view sql, std::span<const Value> parameters, bool paused, ResultSink& sink);

private:
    Question(Session& session, Guest& guest, std::unique_ptr<Database> database)
        : session_(&session), guest_(&guest), database_(std::move(database)) {}

    Session* session_;
    Guest* guest_;
    std::unique_ptr<Database> database_;
};

struct Expectation {
    std::string what;          // the table or view, for messages
    bool never_empty = false;  // every guest has some
    bool chosen = false;       // rows were left out that were not asked for
    std::uint64_t there = 0;   // rows before that
};
// Is an answer of no rows a failure?
[[nodiscard]] bool fails_empty(const Answer& answer, const Expectation& expected);
// Says how sure the rows are; the exit code that follows (0, or 5).
int conclude(Session& session, const Answer& answer, const Expectation& expected, bool strict);

}  // namespace vitrine::cli
