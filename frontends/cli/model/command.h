// The command model: what every command is called, takes, does and shows as examples. Parsing, --help, the man page, the
// shell completions and docs/commands.md all come from it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine::cli {

class Session;
struct View;

enum class ValueKind : std::uint8_t { flag, text, number, address, path, directory, choice };

struct OptionSpec {
    std::string_view name;        // "--pid"; the key under which Arguments holds it
    std::string_view short_name;  // "-p", or ""
    std::string_view value;       // what --help calls the value: "N"; "" for flags
    std::string_view doc;         // one line
    ValueKind kind = ValueKind::flag;
    std::string_view choices = {};  // of ValueKind::choice: "table|json"
    bool repeated = false;          // may be given several times, and all values count; of others the last does
};

struct OptionGroup {
    std::string_view title;
    std::span<const OptionSpec> options;
};

enum class ArgumentKind : std::uint8_t { target, table, command, shell, text };

struct ArgumentSpec {
    std::string_view name;  // "TARGET"
    std::string_view doc;
    ArgumentKind kind = ArgumentKind::text;
    bool required = true;
    std::string_view choices = {};
    bool repeated = false;  // takes as many words as there are; one of a command's arguments may
};

struct Example {
    std::string_view command;
    std::string_view what;
};

// What was given on the command line, checked against the specs: numbers are numbers, choices are among the choices.
class Arguments {
public:
    void add(std::string_view name, std::string value) { values_[std::string(name)].push_back(std::move(value)); }
    [[nodiscard]] bool has(std::string_view name) const { return values_.find(name) != values_.end(); }
    // "" when not given; the last when there are several.
    [[nodiscard]] std::string_view text(std::string_view name) const;
    // All values, in the order given.
    [[nodiscard]] std::span<const std::string> list(std::string_view name) const;
    // nullopt when not given.
    [[nodiscard]] std::optional<std::uint64_t> number(std::string_view name) const;

private:
    std::map<std::string, std::vector<std::string>, std::less<>> values_;
};

struct Command {
    std::string_view name;
    std::string_view summary;      // one line, as in a list of commands
    std::string_view description;  // a short paragraph or ""
    std::span<const ArgumentSpec> arguments;
    std::span<const OptionSpec> options;  // its own
    bool is_query = false;                // also takes the options of kQueryGroup
    bool has_target = true;               // also takes the options of kAccessGroup
    std::span<const Example> examples;
    int (*run)(Session&, const Arguments&) = nullptr;  // null: of a view
    bool hidden = false;                               // not in lists and manuals
    const View* view = nullptr;                        // the named query that the command is made of
};

extern const OptionGroup kQueryGroup;    // rows: columns, order, pausing
extern const OptionGroup kOutputGroup;   // every command
extern const OptionGroup kAccessGroup;   // commands with a TARGET
extern const OptionGroup kGeneralGroup;  // every command

extern const ArgumentSpec kTargetArgument;

[[nodiscard]] std::span<const Command* const> all_commands();
[[nodiscard]] const Command* find_command(std::string_view name);

// Decimal, or hexadecimal with 0x; nullopt if anything else is in the text or it does not fit.
[[nodiscard]] std::optional<std::uint64_t> parse_number(std::string_view text);

}  // namespace vitrine::cli
