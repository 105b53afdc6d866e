// Shell completions. TARGET completes to what `vitrine list` shows, and to files; the user's own views are asked for
// when they are completed.
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "model/help.h"
#include "vitrine/query/table.h"

namespace vitrine::cli {
namespace {

std::vector<const OptionSpec*> options_of(const Command& command) {
    std::vector<const OptionSpec*> options;
    const auto add = [&](std::span<const OptionSpec> group) {
        for (const OptionSpec& option : group) options.push_back(&option);
    };
    add(command.options);
    if (command.is_query) add(kQueryGroup.options);
    add(kOutputGroup.options);
    if (command.has_target) add(kAccessGroup.options);
    add(kGeneralGroup.options);
    return options;
}

std::vector<const Command*> visible_commands() {
    std::vector<const Command*> commands;
    for (const Command* command : all_commands()) {
        if (!command->hidden) commands.push_back(command);
    }
    return commands;
}

std::string spaced(std::string_view choices) {
    std::string text(choices);
    std::replace(text.begin(), text.end(), '|', ' ');
    return text;
}

std::string command_names() {
    std::string names;
    for (const Command* command : visible_commands()) names += (names.empty() ? "" : " ") + std::string(command->name);
    return names;
}

constexpr std::string_view kOwnViews = "$(vitrine views --own --format csv --no-header 2>/dev/null | cut -d, -f1)";

// What an argument can be, where that is known when the script is made.
std::string argument_words(const ArgumentSpec& argument) {
    std::string words = spaced(argument.choices);
    if (argument.kind == ArgumentKind::command) words = command_names();
    if (argument.kind == ArgumentKind::table) {
        for (const Table* table : all_tables()) words += (words.empty() ? "" : " ") + std::string(table->spec.name);
    }
    return words;
}

// The cases `COMMAND:N) complete its N-th argument`.
std::string bash_argument_cases() {
    std::string text;
    for (const Command* command : visible_commands()) {
        for (std::size_t i = 0; i < command->arguments.size(); ++i) {
            const std::string words = argument_words(command->arguments[i]);
            if (words.empty()) continue;
            text += fmt::format("        {}:{}) COMPREPLY=($(compgen -W '{}' -- \"$word\")); return ;;\n",
                                command->name, i, words);
        }
    }
    return text;
}

// The cases `--option) complete its value` of all options that take one.
std::string bash_value_cases() {
    std::vector<std::string_view> seen;
    std::string text;
    const auto add = [&](const OptionSpec& option) {
        if (option.kind == ValueKind::flag || std::find(seen.begin(), seen.end(), option.name) != seen.end()) return;
        seen.push_back(option.name);
        const std::string pattern = option.short_name.empty() ? std::string(option.name)
                                                              : fmt::format("{}|{}", option.short_name, option.name);
        std::string reply = "COMPREPLY=()";
        if (option.kind == ValueKind::choice)
            reply = fmt::format("COMPREPLY=($(compgen -W '{}' -- \"$word\"))", spaced(option.choices));
        if (option.kind == ValueKind::path) reply = "COMPREPLY=($(compgen -f -- \"$word\"))";
        if (option.kind == ValueKind::directory) reply = "COMPREPLY=($(compgen -d -- \"$word\"))";
        text += fmt::format("        {}) {}; return ;;\n", pattern, reply);
    };
    for (const Command* command : visible_commands()) {
        for (const OptionSpec* option : options_of(*command)) add(*option);
    }
    return text;
}

// "-f|--format|--width": those that take the next word.
std::string bash_valued_options() {
    std::string text;
    std::vector<std::string_view> seen;
    for (const Command* command : visible_commands()) {
        for (const OptionSpec* option : options_of(*command)) {
            for (const std::string_view name : {option->name, option->short_name}) {
                if (option->kind == ValueKind::flag || name.empty()) continue;
                if (std::find(seen.begin(), seen.end(), name) != seen.end()) continue;
                seen.push_back(name);
                text += (text.empty() ? "" : "|") + std::string(name);
            }
        }
    }
    return text;
}

std::string bash_script() {
    std::string text =
        "# bash completion for vitrine\n_vitrine() {\n"
        "    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command= options= i\n"
        "    # bash splits words at colons: put qemu:NAME together again\n"
        "    if declare -F _get_comp_words_by_ref >/dev/null; then\n"
        "        local words cword\n        _get_comp_words_by_ref -n : -c word -p previous -w words -i cword\n"
        "    fi\n"
        "    local position=0 skip=\n    for ((i = 1; i < COMP_CWORD; i++)); do\n"
        "        if [[ -n $skip ]]; then skip=; continue; fi\n"
        "        case ${COMP_WORDS[i]} in\n" +
        fmt::format("            {}) skip=yes ;;\n", bash_valued_options()) +
        "            -*) ;;\n"
        "            *) if [[ -z $command ]]; then command=${COMP_WORDS[i]}; else ((position++)); fi ;;\n"
        "        esac\n    done\n";
    text += "    case $previous in\n" + bash_value_cases() + "    esac\n";
    text += fmt::format(
        "    if [[ -z $command && $word != -* ]]; then\n        COMPREPLY=($(compgen -W \"{} {}\" -- \"$word\"))\n "
        "       return\n    fi\n",
        command_names(), kOwnViews);
    text += "    case $command in\n";
    for (const Command* command : visible_commands()) {
        std::string names;
        for (const OptionSpec* option : options_of(*command))
            names += (names.empty() ? "" : " ") + std::string(option->name);
        text += fmt::format("        {}) options='{}' ;;\n", command->name, names);
    }
    text +=
        "        ?*) options=$(vitrine \"$command\" --help 2>/dev/null | grep -oE -e '--[a-z][a-z-]*' | sort -u) ;;\n"
        "        *) options='--help --version' ;;\n    esac\n"
        "    if [[ $word == -* ]]; then\n        COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n        return\n "
        "   fi\n    case $command:$position in\n" +
        bash_argument_cases() +
        "    esac\n"
        // Whoever starts a machine names it: compgen -W would run what is in a name.
        "    local target\n    COMPREPLY=($(compgen -f -- \"$word\"))\n"
        "    while IFS= read -r target; do\n"
        "        if [[ $target == \"$word\"* ]]; then COMPREPLY+=(\"$target\"); fi\n"
        "    done < <(vitrine list --format csv --columns target --no-header 2>/dev/null)\n"
        "    if declare -F __ltrim_colon_completions >/dev/null; then __ltrim_colon_completions \"$word\"; fi\n"
        "}\ncomplete -o filenames -F _vitrine vitrine\n";
    return text;
}

// Text inside a single-quoted zsh argument specification.
std::string zsh_text(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '\'') out += "'\\''";
        else if (c == '[' || c == ']' || c == ':') out += {'\\', c};
        else out += c;
    }
    return out;
}

std::string zsh_option(const OptionSpec& option) {
    std::string value;
    if (option.kind == ValueKind::choice) value = fmt::format(":{}:({})", option.value, spaced(option.choices));
    else if (option.kind == ValueKind::path) value = fmt::format(":{}:_files", option.value);
    else if (option.kind == ValueKind::directory) value = fmt::format(":{}:_files -/", option.value);
    else if (option.kind != ValueKind::flag) value = fmt::format(":{}: ", option.value);
    return fmt::format(" '{}{}[{}]{}'", option.repeated ? "*" : "", option.name, zsh_text(option.doc), value);
}

std::string zsh_script() {
    std::string text =
        "#compdef vitrine\n_vitrine_target() {\n    local -a machines\n"
        "    machines=(${(f)\"$(vitrine list --format csv --columns target --no-header 2>/dev/null)\"})\n"
        "    compadd -a machines\n    _files\n}\n_vitrine() {\n    local -a commands\n    commands=(\n";
    for (const Command* command : visible_commands())
        text += fmt::format("        '{}:{}'\n", command->name, zsh_text(command->summary));
    text +=
        "    )\n    commands+=(${(f)\"$(vitrine views --own --format csv --no-header 2>/dev/null | cut -d, -f1)\"})\n"
        "    if ((CURRENT == 2)); then _describe command commands; return; fi\n    local command=$words[2]\n"
        "    shift words; ((CURRENT--))\n    case $command in\n";
    for (const Command* command : visible_commands()) {
        text += fmt::format("        {}) _arguments", command->name);
        for (const OptionSpec* option : options_of(*command)) text += zsh_option(*option);
        for (const ArgumentSpec& argument : command->arguments) {
            const std::string words = argument_words(argument);
            const std::string action = argument.kind == ArgumentKind::target ? "_vitrine_target"
                                       : words.empty()                       ? " "
                                                                             : "(" + words + ")";
            text += fmt::format(" '{}:{}:{}'", argument.repeated ? "*" : "", argument.name, action);
            if (argument.repeated) break;  // zsh can tell none of the words after it apart
        }
        text += " ;;\n";
    }
    return text + "        *) _vitrine_target ;;\n    esac\n}\n_vitrine \"$@\"\n";
}

std::string fish_text(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '\'' || c == '\\') out += '\\';
        out += c;
    }
    return out;
}

std::string fish_script() {
    std::string text =
        "# fish completion for vitrine\n"
        "complete -c vitrine -f -n __fish_use_subcommand -a '(vitrine views --own --format csv --no-header 2>/dev/null "
        "| cut -d, "
        "-f1)'\n";
    for (const Command* command : visible_commands()) {
        text += fmt::format("complete -c vitrine -f -n __fish_use_subcommand -a {} -d '{}'\n", command->name,
                            fish_text(command->summary));
        const std::string when = fmt::format("-n '__fish_seen_subcommand_from {}'", command->name);
        for (const OptionSpec* option : options_of(*command)) {
            std::string line = fmt::format("complete -c vitrine {} -l {}", when, option->name.substr(2));
            if (!option->short_name.empty()) line += fmt::format(" -s {}", option->short_name.substr(1));
            if (option->kind == ValueKind::choice) line += fmt::format(" -x -a '{}'", spaced(option->choices));
            else if (option->kind == ValueKind::path || option->kind == ValueKind::directory) line += " -r";
            else if (option->kind != ValueKind::flag) line += " -x";
            text += fmt::format("{} -d '{}'\n", line, fish_text(option->doc));
        }
        for (const ArgumentSpec& argument : command->arguments) {
            const std::string words = argument_words(argument);
            if (!words.empty()) text += fmt::format("complete -c vitrine {} -a '{}'\n", when, words);
        }
        if (command->has_target) {
            text += fmt::format(
                "complete -c vitrine {} -a '(vitrine list --format csv --columns target --no-header 2>/dev/null)'\n",
                when);
        }
    }
    return text;
}

}  // namespace

std::string completion_script(std::string_view shell) {
    if (shell == "bash") return bash_script();
    if (shell == "zsh") return zsh_script();
    if (shell == "fish") return fish_script();
    return {};
}

}  // namespace vitrine::cli
