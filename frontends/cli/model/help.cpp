#include "model/help.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "app/exit_code.h"
#include "vitrine/base/text.h"

namespace vitrine::cli {
namespace {

constexpr std::size_t kLineWidth = 100;

struct Line {
    std::string left;
    std::string right;
};

// Two columns, the right one aligned.
std::string two_columns(const std::vector<Line>& lines) {
    std::size_t width = 0;
    for (const Line& line : lines) width = std::max(width, line.left.size());
    std::string text;
    for (const Line& line : lines) text += fmt::format("  {:<{}}  {}\n", line.left, width, line.right);
    return text;
}

// Words after a label, wrapped and indented behind it.
std::string wrapped(std::string_view label, const std::vector<std::string>& words, std::string_view separator) {
    std::string text(label);
    std::size_t column = label.size();
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string word = words[i] + (i + 1 < words.size() ? std::string(separator) : "");
        if (column + 1 + word.size() > kLineWidth) {
            text += '\n' + std::string(label.size(), ' ');
            column = label.size();
        }
        text += ' ' + word;
        column += 1 + word.size();
    }
    return text + '\n';
}

std::string option_section(const OptionGroup& group) {
    std::vector<Line> lines;
    for (const OptionSpec& option : group.options) lines.push_back({option_label(option), option_doc(option)});
    return fmt::format("{}:\n{}", group.title, two_columns(lines));
}

// A group on one or two lines, for groups that many commands share.
std::string compact_section(const OptionGroup& group) {
    std::vector<std::string> words;
    for (const OptionSpec& option : group.options) {
        std::string word(option.name);
        if (option.kind == ValueKind::choice) word += fmt::format(" {}", option.choices);
        else if (!option.value.empty()) word += fmt::format(" {}", option.value);
        words.push_back(std::move(word));
    }
    return wrapped(fmt::format("  {:<8}", group.title), words, ",");
}

std::string exit_line() {
    std::vector<std::string> words;
    for (const ExitCodeSpec& spec : exit_codes())
        words.push_back(fmt::format("{} {}", static_cast<int>(spec.code), spec.brief));
    return wrapped("Exit codes:", words, ",");
}

std::string examples_section(std::span<const Example> examples) {
    std::vector<Line> lines;
    for (const Example& example : examples) lines.push_back({std::string(example.command), std::string(example.what)});
    return "Examples:\n" + two_columns(lines);
}

constexpr Example kRootExamples[] = {
    {"vitrine list", "the virtual machines of this host"},
    {"vitrine ps qemu:web1", "the processes of a running guest, nothing installed in it"},
    {"vitrine info memory.img", "what is in a memory image, and how that is known"},
};

}  // namespace

std::string option_label(const OptionSpec& option) {
    std::string label = option.short_name.empty() ? "    " : fmt::format("{}, ", option.short_name);
    label += option.name;
    if (!option.value.empty()) label += fmt::format(" {}", option.value);
    return label;
}

std::string option_doc(const OptionSpec& option) {
    std::string doc(option.doc);
    if (option.repeated) doc += " (may be given several times)";
    return option.choices.empty() ? doc : fmt::format("{}: {}", doc, option.choices);
}

std::string usage_line(const Command& command) {
    std::string text = fmt::format("vitrine {} [OPTIONS]", command.name);
    for (const ArgumentSpec& argument : command.arguments) {
        const std::string_view more = argument.repeated ? "..." : "";
        text += argument.required ? fmt::format(" {}{}", argument.name, more)
                                  : fmt::format(" [{}{}]", argument.name, more);
    }
    return text;
}

std::string help_text(const OwnViews& own) {
    std::vector<Line> commands;
    std::vector<Line> views;
    std::vector<Line> own_views;
    for (const Command* command : all_commands()) {
        const Line line{std::string(command->name), std::string(command->summary)};
        if (!command->hidden) (command->view == nullptr ? commands : views).push_back(line);
    }
    for (const auto& view : own.views())
        own_views.push_back({view->view().name, to_terminal_text(view->view().summary)});
    for (const UnusedView& unused : own.unused()) {
        own_views.push_back(
            {to_terminal_text(unused.name), to_terminal_text(fmt::format("({}: {})", unused.file, unused.why))});
    }
    std::string text = "Look into virtual machines from outside: no agent, no profile, no symbol file.\n\n";
    text += "Usage: vitrine COMMAND [OPTIONS] [TARGET]\n\n";
    text += examples_section(kRootExamples) + "\nCommands:\n" + two_columns(commands);
    text += "Views, named queries over the tables:\n" + two_columns(views);
    if (!own_views.empty()) text += "Your own views:\n" + two_columns(own_views);
    text += '\n';
    text += two_columns({{std::string(kTargetArgument.name), std::string(kTargetArgument.doc)}}) + '\n';
    for (const OptionGroup* group : {&kQueryGroup, &kOutputGroup, &kAccessGroup, &kGeneralGroup})
        text += option_section(*group);
    return text + '\n' + exit_line() + "See vitrine COMMAND --help, and vitrine(1).\n";
}

std::string help_text(const Command& command) {
    std::string text = fmt::format("{}.\n", command.summary);
    if (!command.description.empty()) text += fmt::format("{}\n", command.description);
    text += fmt::format("\nUsage: {}\n\n{}", usage_line(command), examples_section(command.examples));
    std::vector<Line> arguments;
    for (const ArgumentSpec& argument : command.arguments) {
        arguments.push_back({std::string(argument.name), std::string(argument.doc)});
    }
    if (!arguments.empty()) text += "\nArguments:\n" + two_columns(arguments);
    if (!command.options.empty()) text += '\n' + option_section({"Options", command.options});
    text += "\nShared options (vitrine --help explains them):\n";
    if (command.is_query) text += compact_section(kQueryGroup);
    text += compact_section(kOutputGroup);
    if (command.has_target) text += compact_section(kAccessGroup);
    text += compact_section(kGeneralGroup);
    return text + '\n' + exit_line();
}

}  // namespace vitrine::cli
