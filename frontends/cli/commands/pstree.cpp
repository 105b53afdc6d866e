#include <fmt/format.h>

#include "app/interrupt.h"
#include "commands/commands.h"
#include "query/ask.h"
#include "query/tree.h"
#include "vitrine/base/text.h"

namespace vitrine::cli {
namespace {

constexpr Example kExamples[] = {
    {"vitrine pstree qemu:web1", "who started whom"},
    {"vitrine pstree qemu:web1 --args", "with command lines"},
    {"vitrine pstree memory.img --format json", "in the order of the tree, with depths"},
};

constexpr OptionSpec kOptions[] = {
    {"--args", "-a", "", "show command lines instead of names", ValueKind::flag},
    {"--ascii", "", "", "draw with ASCII characters", ValueKind::flag},
    {"--paused", "", "", "pause the guest while reading, then let it run on", ValueKind::flag},
    {"--strict", "", "", "exit with 5 if the answer may be incomplete", ValueKind::flag},
};

// Deeper levels are drawn at this depth, with the number beside: a line stays a line however deep a guest goes.
constexpr std::size_t kDeepestDrawn = 64;

struct Processes {
    std::vector<TreeProcess> list;
    std::vector<std::string> labels;
};

std::int64_t integer_or_zero(const Value& value) {
    const auto* number = std::get_if<std::int64_t>(&value);
    return number == nullptr ? 0 : *number;
}

std::string text_or_empty(const Value& value) {
    const auto* text = std::get_if<std::string>(&value);
    return text == nullptr ? std::string() : *text;
}

// The list is kept whole, and a command line is as long as the guest likes: labels are cut, more so once there are many.
constexpr std::size_t kLongestLabel = 512;
constexpr std::size_t kLongestOfMany = 32;
constexpr std::size_t kManyLabels = 50'000;

class TreeSink final : public ResultSink {
public:
    explicit TreeSink(bool args) : args_(args) {}
    void columns(std::span<const ResultColumn>) override {}
    // pid, parent, name, cmdline
    bool row(std::span<const Value> values) override {
        const std::string name = text_or_empty(values[2]);
        const std::string line = text_or_empty(values[3]);
        std::string label = line.empty() ? fmt::format("[{}]", name) : args_ ? line : name;
        const std::size_t longest = processes.list.size() < kManyLabels ? kLongestLabel : kLongestOfMany;
        if (label.size() > longest) label.resize(longest);
        processes.list.push_back({integer_or_zero(values[0]), integer_or_zero(values[1])});
        processes.labels.push_back(std::move(label));
        return !interrupted();
    }
    Processes processes;

private:
    bool args_;
};

struct Strokes {
    std::string_view branch, last, line, space;
};
constexpr Strokes kUtf8Strokes{"├─", "└─", "│ ", "  "};
constexpr Strokes kAsciiStrokes{"|-", "`-", "| ", "  "};

class TreeDrawer {
public:
    TreeDrawer(Session& session, const Strokes& strokes)
        : session_(session), strokes_(strokes), style_(session.style()) {}

    void draw(const TreeNode& node, const Processes& processes) {
        if (node.place != place_) heading(node.place);
        const std::size_t depth = std::min(node.depth, kDeepestDrawn);
        open_.resize(std::min(open_.size(), depth));
        std::string line;
        for (std::size_t i = 1; i < open_.size(); ++i) line += open_[i] ? strokes_.line : strokes_.space;
        if (depth > 0) line += node.last ? strokes_.last : strokes_.branch;
        if (node.depth > kDeepestDrawn) line += fmt::format("(level {}) ", node.depth);
        const TreeProcess& process = processes.list[node.index];
        line += fmt::format("{}({})", to_terminal_text(processes.labels[node.index]), process.pid);
        if (node.depth == 0 && node.place != TreePlace::normal) line += fmt::format(" parent {}", process.parent);
        open_.push_back(!node.last);
        write(std::move(line));
    }

private:
    void heading(TreePlace place) {
        place_ = place;
        write(place == TreePlace::orphan ? "-- parents that are not in the list:" : "-- parents that form a loop:");
    }
    void write(std::string line) {
        if (style_.width && display_width(line) > *style_.width && *style_.width > 0) {
            const bool ascii = strokes_.branch == kAsciiStrokes.branch;
            line = std::string(fit_width(line, *style_.width - 1)) + std::string(ascii ? "~" : style_.ellipsis);
        }
        session_.out().write(line += '\n');
    }

    Session& session_;
    const Strokes& strokes_;
    Style style_;
    TreePlace place_ = TreePlace::normal;
    std::vector<bool> open_;  // per level: does a line run on below it
};

void write_rows(Session& session, const Processes& processes, std::span<const TreeNode> nodes) {
    static constexpr std::string_view kPlaces[] = {"normal", "orphan", "loop"};
    const std::vector<OutputColumn> columns{{"depth", ColumnType::integer},
                                            {"pid", ColumnType::integer},
                                            {"parent", ColumnType::integer},
                                            {"label", ColumnType::text},
                                            {"place", ColumnType::text}};
    const auto writer = make_row_writer(session.out(), session.style(), columns);
    for (const TreeNode& node : nodes) {
        const TreeProcess& process = processes.list[node.index];
        const std::vector<Value> values{static_cast<std::int64_t>(node.depth), process.pid, process.parent,
                                        processes.labels[node.index],
                                        std::string(kPlaces[static_cast<std::size_t>(node.place)])};
        writer->row(values);
    }
    writer->finish();
}

int run(Session& session, const Arguments& arguments) {
    auto guest = session.attach(arguments.text("TARGET"));
    if (!guest) return guest.error();
    auto question = Question::open(session, arguments.text("TARGET"), **guest);
    if (!question) return question.error();
    TreeSink sink(arguments.has("--args"));
    const auto answer = question->ask("SELECT pid, parent, name, cmdline FROM processes", {}, arguments.has("--paused"),
                                      sink);
    if (!answer) return session.fail(answer.error(), Phase::query);
    if (const Error* failure = answer->failure()) return session.fail(*failure, Phase::query);
    const Processes& processes = sink.processes;
    if (!processes.list.empty()) {
        const auto nodes = arrange_tree(processes.list);
        if (session.settings().format == Format::table) {
            const bool utf8 = locale_is_utf8() && !arguments.has("--ascii");
            TreeDrawer drawer(session, utf8 ? kUtf8Strokes : kAsciiStrokes);
            for (const TreeNode& node : nodes) drawer.draw(node, processes);
        } else {
            write_rows(session, processes, nodes);
        }
        session.out().flush();
    }
    return conclude(session, *answer, {"processes", true, false, answer->rows_read()}, arguments.has("--strict"));
}

}  // namespace

const Command kPstreeCommand{
    .name = "pstree",
    .summary = "Show the processes of a guest as a tree",
    .description =
        "Processes whose parent is missing, or whose parents form a loop, come last under a heading of their own.",
    .arguments = {&kTargetArgument, 1},
    .options = kOptions,
    .examples = kExamples,
    .run = run,
};

}  // namespace vitrine::cli
