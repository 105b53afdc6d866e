// The man page and docs/commands.md.
#include <fmt/format.h>

#include "app/exit_code.h"
#include "model/help.h"
#include "schema/schema_text.h"

namespace vitrine::cli {
namespace {

// Text for roff: backslashes and hyphens escaped, no line begins with a control character.
std::string roff(std::string_view text) {
    std::string out;
    bool line_start = true;
    for (const char c : text) {
        if (line_start && (c == '.' || c == '\'')) out += "\\&";
        if (c == '\\') out += "\\e";
        else if (c == '-') out += "\\-";
        else out += c;
        line_start = c == '\n';
    }
    return out;
}

std::string man_options(std::span<const OptionSpec> options) {
    std::string text;
    for (const OptionSpec& option : options) {
        std::string label;
        if (!option.short_name.empty()) label = fmt::format("\\fB{}\\fR, ", roff(option.short_name));
        label += fmt::format("\\fB{}\\fR", roff(option.name));
        if (!option.value.empty()) label += fmt::format(" \\fI{}\\fR", roff(option.value));
        text += fmt::format(".TP\n{}\n{}.\n", label, roff(option_doc(option)));
    }
    return text;
}

std::string man_command(const Command& command) {
    std::string text = fmt::format(".SS {}\n{}.\n{}\n", roff(usage_line(command)), roff(command.summary),
                                   roff(command.description));
    text += man_options(command.options);
    text += ".PP\nExamples:\n";
    for (const Example& example : command.examples) {
        text += fmt::format(".TP\n\\fB{}\\fR\n{}.\n", roff(example.command), roff(example.what));
    }
    return text;
}

struct Paragraph {
    std::string_view title;
    std::string_view text;
};

// Shared prose of the manual and docs/commands.md.
constexpr Paragraph kProse[] = {
    {"Targets",
     "A TARGET names a running virtual machine or an image of one. qemu:PID and qemu:NAME are a QEMU process (NAME is "
     "what its "
     "-name option says), qmp:SOCKET the QEMU that listens on a QMP socket, kvm:PID any monitor that uses /dev/kvm. "
     "Everything "
     "else is the path of a file: raw RAM or an ELF core, told apart by content. file:PATH is the path of a file "
     "whatever it looks like. raw:PATH is a file of raw RAM whatever it begins with: its first bytes lie at physical "
     "address 0, where a guest can write what it likes, the mark of another format as well."},
    {"Output",
     "Answers go to standard output, everything else to standard error. Tables fit the terminal (text that is cut ends "
     "in an "
     "ellipsis); written to a file or a pipe they are never cut. An unknown value is - in tables, null in JSON, and "
     "empty in CSV. "
     "json is one array of objects, ndjson one object on each line. Integers "
     "are JSON numbers; "
     "addresses are strings such as \"0xffffffff81000000\", because JSON numbers do not hold 64 bits everywhere. csv "
     "is RFC 4180 with "
     "LF as line end. markdown is a table for a page. Tables show the columns that matter most; json, ndjson and csv "
     "give all of them, in the order of "
     "vitrine schema."},
    {"Text from a guest",
     "Names, command lines and paths are whatever the guest put there. Bytes that are not UTF-8 become U+FFFD in every "
     "format. In "
     "tables every control character and every character that reorders text is written as an escape (\\x1b, \\u202e), "
     "also when "
     "the output is no terminal; JSON escapes them its own way. In csv they are escaped as in tables, line breaks and "
     "tabs excepted, and a field that a spreadsheet "
     "would run as a formula (it begins with = + - @, tab or carriage return) gets a leading apostrophe; so does one "
     "that begins with an apostrophe, so "
     "that taking one away gives the text again."},
    {"How sure an answer is",
     "Every list says on standard error if it may be incomplete: the guest changed it while it was read, it runs in a "
     "circle, it "
     "is longer than any honest guest's, or a part could not be read. With --strict such an answer exits with 5. "
     "--paused stops the guest for the time of reading."},
};

constexpr Paragraph kEnvironment[] = {
    {"NO_COLOR", "If set and not empty, no colour unless --color always is given."},
    {"COLUMNS", "The width of tables on a terminal that does not tell its own."},
    {"XDG_CONFIG_HOME", "Your own views are read from vitrine/views below this directory (default: ~/.config)."},
    {"XDG_CACHE_HOME", "Decoded kernels are kept in vitrine below this directory (default: ~/.cache)."},
};

std::string upper(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    return out;
}

std::string markdown_options(std::span<const OptionSpec> options) {
    std::string text = "| Option | Meaning |\n|---|---|\n";
    for (const OptionSpec& option : options) {
        std::string label = option_label(option);
        label.erase(0, label.find_first_not_of(' '));
        std::string doc;
        for (const char c : option_doc(option)) {
            if (c == '|') doc += '\\';
            doc += c;
        }
        text += fmt::format("| `{}` | {} |\n", label, doc);
    }
    return text + '\n';
}

std::string markdown_command(const Command& command) {
    std::string text = fmt::format("### vitrine {}\n\n{}. {}\n\n```\n{}\n```\n\n", command.name, command.summary,
                                   command.description, usage_line(command));
    for (const ArgumentSpec& argument : command.arguments)
        text += fmt::format("- `{}`: {}\n", argument.name, argument.doc);
    if (!command.arguments.empty()) text += '\n';
    if (!command.options.empty()) text += markdown_options(command.options);
    if (command.is_query) text += "Also takes the options under [Rows](#rows).\n\n";
    text += "Examples:\n\n```\n";
    for (const Example& example : command.examples) text += fmt::format("{}   # {}\n", example.command, example.what);
    return text + "```\n\n";
}

}  // namespace

std::string man_page(std::string_view version) {
    std::string text = fmt::format(".TH VITRINE 1 \"\" \"vitrine {}\" \"User Commands\"\n", roff(version));
    text += ".SH NAME\nvitrine \\- look into virtual machines from outside\n";
    text += ".SH SYNOPSIS\n.B vitrine\n.I COMMAND\n[\\fIOPTIONS\\fR] [\\fITARGET\\fR]\n";
    text +=
        ".SH DESCRIPTION\nVitrine reads the memory of a running virtual machine, or of an image of one, finds the "
        "kernel in it, "
        "and lists what the kernel knows: processes, threads, modules. Nothing is installed in the guest, no symbol "
        "file is needed, and "
        "nothing of the guest is changed.\n";
    text += ".SH COMMANDS\n";
    for (const Command* command : all_commands()) {
        if (!command->hidden) text += man_command(*command);
    }
    text += ".SH OPTIONS\n";
    for (const OptionGroup* group : {&kQueryGroup, &kOutputGroup, &kAccessGroup, &kGeneralGroup}) {
        text += fmt::format(".SS {}\n{}", roff(group->title), man_options(group->options));
    }
    for (const Paragraph& p : kProse) text += fmt::format(".SH {}\n{}\n", upper(p.title), roff(p.text));
    text += ".SH TABLES\n" + tables_man(all_tables());
    text += ".SH EXIT STATUS\n";
    for (const ExitCodeSpec& spec : exit_codes()) {
        text += fmt::format(".TP\n.B {}\n{}\n", static_cast<int>(spec.code), roff(spec.meaning));
    }
    text += ".SH ENVIRONMENT\n";
    for (const Paragraph& p : kEnvironment) text += fmt::format(".TP\n.B {}\n{}\n", roff(p.title), roff(p.text));
    text +=
        ".SH FILES\n.TP\n.I ~/.config/vitrine/views/*.sql\nYour own views: each is a command.\n.TP\n.I "
        "~/.cache/vitrine\nWhat was learned of kernels, by build-id; may be removed at any time.\n";
    text +=
        ".SH SEE ALSO\n.BR qemu\\-system\\-x86_64 (1),\n.BR virsh (1),\n.BR crash (8),\n.BR pahole (1),\n.BR ps "
        "(1)\n";
    return text;
}

std::string commands_markdown() {
    std::string text = "# Commands\n\n<!-- Made by `vitrine document markdown`; a test compares. -->\n\n";
    for (const Paragraph& p : kProse) text += fmt::format("## {}\n\n{}\n\n", p.title, p.text);
    text += "## Commands\n\n";
    for (const Command* command : all_commands()) {
        if (!command->hidden) text += markdown_command(*command);
    }
    text += "## Shared options\n\n";
    for (const OptionGroup* group : {&kQueryGroup, &kOutputGroup, &kAccessGroup, &kGeneralGroup}) {
        text += fmt::format("### {}\n\n{}", group->title, markdown_options(group->options));
    }
    text += "## Exit codes\n\n| Code | Meaning |\n|---|---|\n";
    for (const ExitCodeSpec& spec : exit_codes())
        text += fmt::format("| {} | {} |\n", static_cast<int>(spec.code), spec.meaning);
    text += "\n## Environment\n\n| Variable | Meaning |\n|---|---|\n";
    for (const Paragraph& p : kEnvironment) text += fmt::format("| `{}` | {} |\n", p.title, p.text);
    return text;
}

}  // namespace vitrine::cli
