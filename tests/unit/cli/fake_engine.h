// A made-up machine with made-up tables behind the command line, and a way to run the whole program on it.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/engine.h"

namespace vitrine::cli::test {

// What the fake tables deliver and how they end; set by each test.
struct Script {
    std::vector<std::vector<Value>> processes;  // pid, name, cmdline, state, uid, parent, threads, start_time, task
    std::vector<std::vector<Value>> modules;
    WalkReport report;
    std::vector<Diagnostic> diagnostics;
    std::function<Error()> open_error, attach_error, run_error;  // empty: none
    std::vector<MachineListing> machines;
    bool can_pause = true;
    std::size_t endless_rows = 0;             // that many more processes, each made when it is asked for
    std::function<void()> on_run, on_resume;  // empty: nothing
    // What happened.
    int pauses = 0, resumes = 0;
    std::size_t delivered = 0;
    bool rows_while_paused = false;
    AttachOptions attach_options;
    OpenOptions open_options;
    std::vector<std::uint64_t> used_columns;
    std::vector<std::int64_t> wanted_pids;  // keys that were looked up

    // SQL. The answer to every statement: by default one row, {1, "init", 0xffff888000000001}.
    using Answer = std::function<Result<QueryReport>(std::string_view sql, ResultSink& sink)>;
    Answer on_query;
    bool real_database = false;  // the engine itself over the made-up tables instead
    std::vector<std::string> statements, vms;
    QueryLimits limits;
    int attaches = 0, database_interrupts = 0;
    bool told_paused = false, statement_while_paused = false;
};

// Gives the rows; the report says that one table was read whole.
QueryReport answer(ResultSink& sink, std::span<const ResultColumn> columns,
                   const std::vector<std::vector<Value>>& rows);

std::vector<Value> process(std::int64_t pid, std::int64_t parent, std::string name, Value cmdline = {});

class FakeEngine final : public Engine {
public:
    explicit FakeEngine(Script& script) : script_(script) {}
    Result<std::vector<MachineListing>> list_machines() override { return script_.machines; }
    Result<Target> parse_target(std::string_view text) override;
    Result<std::unique_ptr<Machine>> open(const Target& target, const OpenOptions& options) override;
    Result<std::unique_ptr<Guest>> attach(std::unique_ptr<Machine> machine, const AttachOptions& options) override;
    [[nodiscard]] std::span<const Table* const> tables() const override;
    Result<std::unique_ptr<Database>> open_database(std::vector<NamedGuest> guests) override;

private:
    Script& script_;
};

struct Ran {
    int code = 0;
    std::string out, err;
};
// The whole program with these words; standard output and error are files, and so is standard input.
Ran run(Script& script, std::vector<std::string> words, std::string_view input = {});

// A temporary file that is gone once it is closed.
class TemporaryFile {
public:
    TemporaryFile();
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    ~TemporaryFile();
    void fill(std::string_view text) const;  // and goes to its beginning
    [[nodiscard]] int fd() const { return fd_; }
    [[nodiscard]] std::string text() const;

private:
    int fd_;
};

}  // namespace vitrine::cli::test
