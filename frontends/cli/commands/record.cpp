#include <fmt/format.h>

#include <ctime>
#include <filesystem>
#include <optional>

#include "app/interrupt.h"
#include "commands/commands.h"
#include "query/find_table.h"
#include "query/pause.h"
#include "vitrine/machine/recorder.h"

namespace vitrine::cli {
namespace {

constexpr Example kExamples[] = {
    {"vitrine record qemu:web1 -o web1.rec --paused", "every table, of one moment"},
    {"vitrine record memory.img -o ps.rec -- processes mounts", "what answers two tables, no more"},
    {"vitrine ps web1.rec", "a recording is a target like any other"},
};

constexpr ArgumentSpec kArguments[] = {
    {"TARGET", "as for every command; vitrine --help lists the forms", ArgumentKind::target},
    {"QUERY",
     "what it shall have the answer to: SQL, or the name of a table; default: every table",
     ArgumentKind::text,
     false,
     {},
     true},
};

constexpr OptionSpec kOptions[] = {
    {"--output", "-o", "FILE", "the recording; it holds memory of the guest, so keep it as an image", ValueKind::path},
    {"--paused", "", "", "pause the guest meanwhile, then let it run on", ValueKind::flag},
    {"--force", "", "", "replace FILE if it exists", ValueKind::flag},
    {"--small", "", "", "pack it as small as can be: a sixth smaller, seconds longer", ValueKind::flag},
};

struct Question {
    std::string text;  // as it was asked
    std::string sql;
    bool wanted = true;  // by name: then it must have an answer
};

OrExit<std::vector<Question>> questions(Session& session, std::span<const std::string> asked) {
    const auto whole = [](std::string_view table) { return fmt::format("SELECT * FROM {}", table); };
    std::vector<Question> all;
    if (asked.empty()) {
        for (const Table* table : session.engine().tables())
            all.push_back({std::string(table->spec.name), whole(table->spec.name), false});
    }
    for (const std::string& text : asked) {
        const bool is_name = text.find_first_of(" \t\n(") == std::string::npos;
        if (is_name && find_table(session, text) == nullptr) {
            return tl::make_unexpected(unknown_table(session, text));
        }
        all.push_back({text, is_name ? whole(text) : text, true});
    }
    return all;
}

// Rows are not kept.
struct Dropped final : ResultSink {
    void columns(std::span<const ResultColumn>) override {}
    bool row(std::span<const Value>) override { return !interrupted(); }
};

OrExit<void> ask_all(Session& session, Guest& guest, const std::vector<Question>& all) {
    auto database = session.engine().open_database({{"guest", guest}});
    if (!database) return tl::make_unexpected(session.fail(database.error(), Phase::sql));
    for (const Question& question : all) {
        Dropped rows;
        const auto report = (*database)->query(question.sql, {}, rows);
        if (interrupted()) return tl::make_unexpected(kExitInterrupted);
        if (!report) return tl::make_unexpected(session.fail(report.error(), Phase::sql));
        for (const TableReading& reading : report->readings) {
            // A kernel without BTF lacks many tables: those that were not named are noted below.
            if (reading.failure && question.wanted)
                return tl::make_unexpected(session.fail(*reading.failure, Phase::query));
        }
        if (report->complete()) continue;
        session.messages().note(fmt::format(
            "{}: the recorded answer may be incomplete: {}", question.text,
            report->diagnostics.empty() ? "a walk did not reach its end" : report->diagnostics.front().text));
    }
    return {};
}

// A replay has no cache of this host to begin with: what a first look reads must be in the recording.
OrExit<std::unique_ptr<Guest>> attach_anew(Session& session, Recorder& recorder) {
    Settings settings = session.settings();
    settings.use_cache = false;
    Session anew(session.engine(), session.out(), session.messages(), session.in_fd(), settings, session.own_views());
    auto guest = anew.attach(recorder.machine());
    if (!guest) return tl::make_unexpected(session.fail(guest.error(), Phase::attach));
    return std::move(*guest);
}

// Everything that reads the guest.
OrExit<std::unique_ptr<Guest>> read_guest(Session& session, Machine& machine, Recorder& recorder,
                                          const std::vector<Question>& all, bool paused) {
    std::optional<PauseScope> scope;
    const auto control = paused ? find_pause_control(machine) : Result<PauseControl*>(nullptr);
    if (!control) return tl::make_unexpected(session.fail(control.error(), Phase::query));
    if (*control != nullptr) {
        scope.emplace(std::vector<PauseControl*>{*control});
        if (auto begun = scope->begin(); !begun) return tl::make_unexpected(session.fail(begun.error(), Phase::query));
        machine.memory().new_generation();
    }
    auto guest = attach_anew(session, recorder);
    if (!guest) return guest;
    if (auto asked = ask_all(session, **guest, all); !asked) return tl::make_unexpected(asked.error());
    // Rebooted meanwhile, it would be a bit of one boot and a bit of the other.
    if (auto same = (*guest)->verify(); !same) return tl::make_unexpected(session.fail(same.error(), Phase::query));
    if (scope) {
        const auto took = scope->end();
        if (!took) return tl::make_unexpected(session.fail(took.error(), Phase::query));
        session.messages().note(fmt::format("the guest was paused for {}", duration_text(*took)));
    }
    return guest;
}

// An image would be replaced by a small part of itself.
bool is_the_target(Session& session, std::string_view text, const std::string& path) {
    const auto target = session.engine().parse_target(text);
    if (!target || (target->kind != TargetKind::file && target->kind != TargetKind::raw)) return false;
    std::error_code error;
    return std::filesystem::equivalent(target->text, path, error) && !error;
}

int run(Session& session, const Arguments& arguments) {
    const std::string path(arguments.text("--output"));
    const Recorder::SaveOptions options{arguments.has("--force"), arguments.has("--small")};
    if (path.empty()) return session.usage("vitrine record needs a file to write: -o FILE");
    const auto all = questions(session, arguments.list("QUERY"));
    if (!all) return all.error();
    if (auto free = check_recording_path(path, options); !free) return session.fail(free.error(), Phase::query);

    const std::string target(arguments.text("TARGET"));
    if (is_the_target(session, target, path)) return session.usage(fmt::format("{} is the target itself", path));
    auto machine = session.open(target);
    if (!machine) return session.fail(machine.error().error, machine.error().phase);
    Recorder recorder(**machine);
    RecordingFacts facts{target, {}, std::time(nullptr), {}};
    for (const Question& question : *all) facts.queries.push_back(question.text);
    auto guest = read_guest(session, **machine, recorder, *all, arguments.has("--paused"));
    if (!guest) return guest.error();

    facts.kernel = (*guest)->kernel().release;
    const InterruptShield shield;  // what is half written would stay
    const auto size = recorder.save(path, (*guest)->machine().memory().layout(), facts, options);
    if (!size) return session.fail(size.error(), Phase::query);
    session.messages().note(fmt::format("{}: {} pages of {}, {:.1f} MiB", path, size->pages, target,
                                        static_cast<double>(size->file_bytes) / (1 << 20)));
    return kExitOk;
}

}  // namespace

const Command kRecordCommand{
    .name = "record",
    .summary = "Record what answers are made from: the touched pages of a guest, and its registers",
    .description =
        "FILE is a TARGET and gives the same answers. A guest that runs on may be torn across pages: --paused.",
    .arguments = kArguments,
    .options = kOptions,
    .examples = kExamples,
    .run = run,
};

}  // namespace vitrine::cli
