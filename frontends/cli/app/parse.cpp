#include "app/parse.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <deque>
#include <vector>

#include "model/suggest.h"

namespace vitrine::cli {
namespace {

// One option of one (sub)command, or one word that is no option, and where its values go.
struct Slot {
    const OptionSpec* option = nullptr;  // null: a word
    std::vector<std::string> values;
    CLI::Option* bound = nullptr;
};
using Slots = std::deque<Slot>;  // stable addresses: CLI11 keeps references to the values

void bind_group(CLI::App& app, std::span<const OptionSpec> options, Slots& slots) {
    for (const OptionSpec& option : options) {
        Slot& slot = slots.emplace_back(Slot{&option, {}, nullptr});
        std::string names(option.name);
        if (!option.short_name.empty()) names += fmt::format(",{}", option.short_name);
        slot.bound = option.kind == ValueKind::flag ? app.add_flag(names) : app.add_option(names, slot.values);
        if (option.kind != ValueKind::flag) slot.bound->expected(1)->allow_extra_args(false);
        slot.bound->multi_option_policy(option.repeated ? CLI::MultiOptionPolicy::TakeAll
                                                        : CLI::MultiOptionPolicy::TakeLast);
    }
}

// most_words: the length of the command line.
void bind_command(CLI::App& root, const Command& command, std::size_t most_words, Slots& slots) {
    CLI::App& app = *root.add_subcommand(std::string(command.name));
    app.set_help_flag();
    app.allow_extras();
    // One for each word and no list for all: CLI11 takes a list's "[a,b]" apart.
    const bool repeated = std::any_of(command.arguments.begin(), command.arguments.end(),
                                      [](const ArgumentSpec& argument) { return argument.repeated; });
    for (std::size_t i = 0; i < (repeated ? most_words : command.arguments.size()); ++i) {
        Slot& slot = slots.emplace_back(Slot{nullptr, {}, nullptr});
        slot.bound = app.add_option(fmt::format("word{}", i), slot.values)->expected(1)->allow_extra_args(false);
    }
    bind_group(app, command.options, slots);
    if (command.is_query) bind_group(app, kQueryGroup.options, slots);
    if (command.has_target) bind_group(app, kAccessGroup.options, slots);
    bind_group(app, kOutputGroup.options, slots);
    bind_group(app, kGeneralGroup.options, slots);
}

std::vector<std::string_view> option_names(const Command* command) {
    std::vector<std::string_view> names;
    const auto add = [&](std::span<const OptionSpec> options) {
        for (const OptionSpec& option : options) names.push_back(option.name);
    };
    if (command != nullptr) add(command->options);
    if (command == nullptr || command->is_query) add(kQueryGroup.options);
    if (command == nullptr || command->has_target) add(kAccessGroup.options);
    add(kOutputGroup.options);
    add(kGeneralGroup.options);
    return names;
}

std::string see_help(const Command* command) {
    return command == nullptr ? "vitrine --help lists the commands"
                              : fmt::format("see vitrine {} --help", command->name);
}

UsageError unexpected_word(const std::string& word, const Command* command, const OwnViews& own) {
    const std::string_view name = std::string_view(word).substr(0, word.find('='));
    if (name.size() > 1 && name.front() == '-') {
        const auto names = option_names(command);
        const std::string_view near = nearest(name, names);
        return {fmt::format("unknown option '{}'", name),
                near.empty() ? see_help(command) : fmt::format("did you mean {}?", near)};
    }
    if (command != nullptr) return {fmt::format("unexpected argument '{}'", word), see_help(command)};
    if (const UnusedView* broken = own.find_unused(word)) {
        return {fmt::format("{}: {}", broken->file, broken->why), "docs/views.md says what a view's file holds"};
    }
    std::vector<std::string_view> names;
    for (const Command* candidate : all_commands()) {
        if (!candidate->hidden) names.push_back(candidate->name);
    }
    for (const auto& view : own.views()) names.push_back(view->view().name);
    const std::string_view near = nearest(word, names);
    return {fmt::format("unknown command '{}'", word),
            near.empty() ? see_help(nullptr) : fmt::format("did you mean vitrine {}?", near)};
}

tl::expected<void, UsageError> check_value(const OptionSpec& option, std::string_view value) {
    const auto wrong = [&](std::string_view wanted) {
        return tl::make_unexpected(UsageError{fmt::format("{} takes {}, not '{}'", option.name, wanted, value), ""});
    };
    if (option.kind == ValueKind::choice && !is_choice(option.choices, value)) return wrong(option.choices);
    if (option.kind == ValueKind::number && (!parse_number(value) || value.starts_with("0x"))) return wrong("a number");
    if (option.kind == ValueKind::address && !parse_number(value))
        return wrong("an address such as 0xffffffff81000000");
    if (option.kind != ValueKind::flag && value.empty()) return wrong("a value");
    return {};
}

tl::expected<void, UsageError> check_arguments(const Command& command, const Arguments& arguments) {
    if (arguments.has("--help") || arguments.has("--version")) return {};
    for (const ArgumentSpec& argument : command.arguments) {
        const std::string_view value = arguments.text(argument.name);
        if (argument.required && value.empty()) {
            return tl::make_unexpected(
                UsageError{fmt::format("vitrine {} needs a {}", command.name, argument.name),
                           argument.kind == ArgumentKind::target
                               ? "vitrine list shows the machines of this host; or give the path of an image"
                               : see_help(&command)});
        }
        if (!value.empty() && !argument.choices.empty() && !is_choice(argument.choices, value)) {
            return tl::make_unexpected(
                UsageError{fmt::format("{} must be {}, not '{}'", argument.name, argument.choices, value), ""});
        }
    }
    return {};
}

// Words to arguments, in their order. One that may be left out gets a word only if there are enough for the others; one that
// is repeated gets all that nobody else needs.
tl::expected<void, UsageError> give_words(const Command& command, std::span<const std::string> words,
                                          const OwnViews& own, Arguments& arguments) {
    std::size_t needed = 0;
    for (const ArgumentSpec& argument : command.arguments) needed += argument.required ? 1 : 0;
    std::size_t spare = words.size() > needed ? words.size() - needed : 0;
    std::size_t optional_left = 0;
    for (const ArgumentSpec& argument : command.arguments) {
        optional_left += !argument.required && !argument.repeated ? 1 : 0;
    }
    for (const ArgumentSpec& argument : command.arguments) {
        std::size_t count = argument.required ? 1 : 0;
        if (argument.repeated) {
            const std::size_t more = spare - std::min(spare, optional_left);
            count += more;
            spare -= more;
        } else if (!argument.required) {
            count += spare > 0 ? 1 : 0;
            spare -= count;
            --optional_left;
        }
        for (; count > 0 && !words.empty(); --count, words = words.subspan(1)) {
            arguments.add(argument.name, words.front());
        }
    }
    if (!words.empty()) return tl::make_unexpected(unexpected_word(words.front(), &command, own));
    return {};
}

tl::expected<Arguments, UsageError> collect(const Command* command, const Slots& slots, const OwnViews& own) {
    Arguments arguments;
    std::vector<std::string> words;
    for (const Slot& slot : slots) {
        if (slot.bound->count() == 0) continue;
        if (slot.option == nullptr) {
            words.insert(words.end(), slot.values.begin(), slot.values.end());
            continue;
        }
        if (slot.option->kind == ValueKind::flag) arguments.add(slot.option->name, {});
        for (const std::string& value : slot.values) {
            if (auto checked = check_value(*slot.option, value); !checked) {
                return tl::make_unexpected(std::move(checked).error());
            }
            arguments.add(slot.option->name, value);
        }
    }
    if (command != nullptr) {
        if (auto given = give_words(*command, words, own, arguments); !given) {
            return tl::make_unexpected(std::move(given).error());
        }
    }
    return arguments;
}

}  // namespace

tl::expected<Parsed, UsageError> parse_command_line(std::span<const std::string> words, const OwnViews& own) {
    CLI::App root;
    root.set_help_flag();
    root.allow_extras();
    root.require_subcommand(0, 1);
    Slots slots;
    bind_group(root, kAccessGroup.options, slots);
    bind_group(root, kOutputGroup.options, slots);
    bind_group(root, kGeneralGroup.options, slots);
    // Only those that are named: to bind all would take longer than many an answer.
    const auto bind_if_named = [&](const Command& command) {
        if (std::find(words.begin(), words.end(), command.name) != words.end())
            bind_command(root, command, words.size(), slots);
    };
    for (const Command* command : all_commands()) bind_if_named(*command);
    for (const auto& view : own.views()) bind_if_named(view->command());

    Parsed parsed;
    const auto find_parsed = [&] {
        const auto used = root.get_subcommands();
        if (used.empty()) return;
        parsed.command = find_command(used.front()->get_name());
        if (parsed.command == nullptr) parsed.command = own.find(used.front()->get_name());
    };
    try {
        root.parse(std::vector<std::string>(words.rbegin(), words.rend()));  // CLI11 takes them last first
        find_parsed();
    } catch (const CLI::ParseError& error) {
        find_parsed();
        return tl::make_unexpected(UsageError{error.what(), see_help(parsed.command)});
    }
    auto left = root.remaining(true);
    std::erase(left, "--");  // only says that what follows is no option
    if (!left.empty()) {
        return tl::make_unexpected(unexpected_word(left.front(), parsed.command, own));
    }
    auto arguments = collect(parsed.command, slots, own);
    if (!arguments) return tl::make_unexpected(std::move(arguments).error());
    parsed.arguments = std::move(*arguments);
    if (parsed.command != nullptr) {
        if (auto checked = check_arguments(*parsed.command, parsed.arguments); !checked) {
            return tl::make_unexpected(std::move(checked).error());
        }
    }
    return parsed;
}

}  // namespace vitrine::cli
