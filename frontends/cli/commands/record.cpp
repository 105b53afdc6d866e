#include <fmt/format.h>

#include <ctime>
#include <filesystem>
#include <optional>

#include "app/interrupt.h"
#include "query/pause.h"
#include "commands/commands.h"
#include "model/suggest.h"
#include "query/query.h"
#include "vitrine/machine/recorder.h"

namespace vitrine::cli {
namespace {

constexpr Example kExamples[] = {
    {"vitrine record qemu:web1 -o web1.rec --paused", "every table, of one moment"},
    {"vitrine record memory.img -o ps.rec --query processes,kernel_modules", "what answers two tables, no more"},
    {"vitrine ps web1.rec", "a recording is a target like any other"},
};

constexpr OptionSpec kOptions[] = {
    {"--output", "-o", "FILE", "the recording; it holds memory of the guest, so keep it as an image", ValueKind::path},
    {"--query", "", "A,B,...", "what it shall have the answers to: tables (default: all)", ValueKind::text},
    {"--paused", "", "", "pause the guest meanwhile, then let it run on", ValueKind::flag},
    {"--force", "", "", "replace FILE if it exists", ValueKind::flag},
};

struct Question {
    std::string text;
    const Table* table = nullptr;
    bool wanted = true;  // by name: then it must have an answer
};

OrExit<std::vector<Question>> questions(Session& session, std::string_view list) {
    std::vector<Question> all;
    if (list.empty()) {
        for (const Table* table : session.engine().tables())
            all.push_back({std::string(table->spec.name), table, false});
        return all;
    }
    while (!list.empty()) {
        const std::string_view name = list.substr(0, list.find(','));
        list.remove_prefix(std::min(name.size() + 1, list.size()));
        const Table* table = find_table(session, name);
        if (table == nullptr) {
            std::vector<std::string_view> names;
            for (const Table* known : session.engine().tables()) names.push_back(known->spec.name);
            const std::string_view near = nearest(name, names);
            return tl::make_unexpected(session.usage(
                fmt::format("there is no table '{}'", name),
                near.empty() ? "vitrine schema lists the tables" : fmt::format("did you mean {}?", near)));
        }
        all.push_back({std::string(name), table, true});
    }
    return all;
}

// Asks one question for what it reads. Rows are not kept.
Result<Outcome> ask(Session& session, Guest& guest, const Question& question) {
    Outcome outcome;
    struct Sink final : RowSink {
        explicit Sink(Outcome& o) : outcome(o) {}
        bool row(std::span<const Value>) override {
            ++outcome.rows;
            return !interrupted();
        }
        void diagnostic(Diagnostic diagnostic) override {
            if (diagnostic.severity != Severity::info) ++outcome.diagnostic_count;
        }
        Outcome& outcome;
    } sink(outcome);
    QueryContext context;
    outcome.report = VITRINE_TRY(session.engine().run(*question.table, guest, context, sink));
    return outcome;
}

OrExit<void> ask_all(Session& session, Guest& guest, const std::vector<Question>& all) {
    for (const Question& question : all) {
        const auto outcome = ask(session, guest, question);
        if (interrupted()) return tl::make_unexpected(kExitInterrupted);
        if (!outcome) {
            if (question.wanted || outcome.error().code != Errc::unsupported)
                return tl::make_unexpected(session.fail(outcome.error(), Phase::query));
            session.messages().note(fmt::format("{}: {}", question.text, outcome.error().to_string()));
        } else if (!outcome->complete()) {
            session.messages().note(fmt::format("{}: the recorded answer may be incomplete: {}, {} rows, {} remarks",
                                                question.text, to_string(outcome->report.end), outcome->rows,
                                                outcome->diagnostic_count));
        }
    }
    return {};
}

// A replay has no cache of this host to begin with: what a first look reads must be in the recording.
OrExit<std::unique_ptr<Guest>> attach_anew(Session& session, Recorder& recorder) {
    Settings settings = session.settings();
    settings.use_cache = false;
    Session anew(session.engine(), session.out(), session.messages(), settings);
    auto guest = anew.attach(recorder.machine());
    if (!guest) return tl::make_unexpected(session.fail(guest.error(), Phase::attach));
    return std::move(*guest);
}

// Everything that reads the guest.
OrExit<std::unique_ptr<Guest>> read_guest(Session& session, Machine& machine, Recorder& recorder,
                                          const std::vector<Question>& all, bool paused) {
    std::optional<PauseScope> scope;
    if (paused && machine.pause_control() == nullptr && machine.is_live()) {
        return tl::make_unexpected(
            session.fail(Error::with_text(Errc::unsupported, Origin::user, "this machine cannot be paused from here",
                                          "vitrine doctor TARGET says which routes are missing; leave out --paused"),
                         Phase::query));
    }
    if (paused && machine.pause_control() != nullptr) {
        scope.emplace(std::vector<PauseControl*>{machine.pause_control()});
        if (auto begun = scope->begin(); !begun) return tl::make_unexpected(session.fail(begun.error(), Phase::query));
        machine.memory().new_generation();
    }
    auto guest = attach_anew(session, recorder);
    if (!guest) return guest;
    if (auto asked = ask_all(session, **guest, all); !asked) return tl::make_unexpected(asked.error());
    if (auto alive = machine.check_alive(); !alive)
        return tl::make_unexpected(session.fail(alive.error(), Phase::query));
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
    const Recorder::SaveOptions options{arguments.has("--force")};
    if (path.empty()) return session.usage("vitrine record needs a file to write: -o FILE");
    const auto all = questions(session, arguments.text("--query"));
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
    .arguments = {&kTargetArgument, 1},
    .options = kOptions,
    .examples = kExamples,
    .run = run,
};

}  // namespace vitrine::cli
