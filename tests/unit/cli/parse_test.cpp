#include <gmock/gmock.h>

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "app/exit_code.h"
#include "app/parse.h"
#include "fake_engine.h"
#include "model/help.h"
#include "model/suggest.h"
#include "schema/schema_text.h"
#include "views/view_command.h"
#include "vitrine/base/text.h"

namespace vitrine::cli {
namespace {

using ::testing::HasSubstr;

tl::expected<Parsed, UsageError> parse(std::vector<std::string> words) { return parse_command_line(words); }

std::string error_of(std::vector<std::string> words) {
    const auto parsed = parse(std::move(words));
    return parsed ? "no error" : parsed.error().text + " / " + parsed.error().hint;
}

TEST(Parse, CommandTargetAndOptionsInAnyOrder) {
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{"ps", "qemu:web1", "--pid", "7", "--format", "json"},
                                               {"--format", "json", "ps", "--pid=7", "qemu:web1"},
                                               {"ps", "-p", "7", "-f", "json", "qemu:web1"},
                                               {"ps", "--format=csv", "--format=json", "-p7", "--", "qemu:web1"}}) {
        const auto parsed = parse(words);
        ASSERT_TRUE(parsed) << parsed.error().text;
        EXPECT_EQ(parsed->command->name, "ps");
        EXPECT_EQ(parsed->arguments.text("TARGET"), "qemu:web1");
        EXPECT_EQ(parsed->arguments.number("--pid"), 7u);
        EXPECT_EQ(parsed->arguments.text("--format"), "json");
    }
}

TEST(Parse, ATargetMayBeNamedLikeACommand) {
    const auto parsed = parse({"ps", "list"});
    ASSERT_TRUE(parsed) << parsed.error().text;
    EXPECT_EQ(parsed->command->name, "ps");
    EXPECT_EQ(parsed->arguments.text("TARGET"), "list");
}

TEST(Parse, Numbers) {
    EXPECT_EQ(parse({"symbols", "t", "--address", "0xFFFFffff81000000"})->arguments.number("--address"),
              0xffffffff81000000u);
    EXPECT_THAT(error_of({"ps", "t", "--pid", "x"}), HasSubstr("--pid takes a number, not 'x'"));
    EXPECT_THAT(error_of({"ps", "t", "--pid", "-1"}), HasSubstr("--pid"));
    EXPECT_THAT(error_of({"ps", "t", "--pid", "99999999999999999999"}), HasSubstr("--pid"));
    EXPECT_THAT(error_of({"symbols", "t", "--address", "main"}), HasSubstr("address"));
    EXPECT_FALSE(parse_number("0x"));
    EXPECT_FALSE(parse_number(""));
    EXPECT_FALSE(parse_number("1 "));
    EXPECT_EQ(parse_number("18446744073709551615"), ~std::uint64_t{0});
}

TEST(Parse, MistakesNameTheNearThing) {
    EXPECT_THAT(error_of({"pss", "t"}), HasSubstr("unknown command 'pss' / did you mean vitrine ps?"));
    EXPECT_THAT(error_of({"modlues", "t"}), HasSubstr("did you mean vitrine modules?"));
    EXPECT_THAT(error_of({"frobnicate"}), HasSubstr("vitrine --help"));
    EXPECT_THAT(error_of({"ps", "t", "--fromat", "json"}),
                HasSubstr("unknown option '--fromat' / did you mean --format?"));
    EXPECT_THAT(error_of({"ps", "t", "extra"}), HasSubstr("unexpected argument 'extra'"));
    EXPECT_THAT(error_of({"ps", "t", "--format", "xml"}), HasSubstr("table|json|ndjson|csv|markdown"));
    EXPECT_THAT(error_of({"ps"}), HasSubstr("needs a TARGET"));
    EXPECT_THAT(error_of({"ps", ""}), HasSubstr("needs a TARGET"));
    EXPECT_THAT(error_of({"ps", "t", "--format"}), HasSubstr("--format"));
    EXPECT_THAT(error_of({"completion", "tcsh"}), HasSubstr("bash|zsh|fish"));
}

TEST(Parse, RepeatedArgumentsTakeWhatNobodyElseNeeds) {
    const auto list = [](std::vector<std::string> words, std::string_view name) {
        const auto parsed = parse(std::move(words));
        if (!parsed) return std::vector<std::string>{parsed.error().text};
        const auto values = parsed->arguments.list(name);
        return std::vector<std::string>(values.begin(), values.end());
    };
    using ::testing::ElementsAre;
    EXPECT_THAT(list({"sql", "a", "SELECT 1"}, "TARGET"), ElementsAre("a"));
    EXPECT_THAT(list({"sql", "a", "--strict", "b", "[c,d]", "--timeout", "7", "SELECT 1"}, "TARGET"),
                ElementsAre("a", "b", "[c,d]"));
    EXPECT_THAT(list({"sql", "a", "b", "--", "--"}, "SQL"), ElementsAre("--"));
    EXPECT_THAT(list({"sql", "a"}, "SQL"), ElementsAre()) << "what may be left out gets nothing";
    EXPECT_THAT(list({"shell", "a", "b", "c"}, "TARGET"), ElementsAre("a", "b", "c"));
    EXPECT_THAT(list({"ps", "a"}, "TARGET"), ElementsAre("a"));
    EXPECT_THAT(error_of({"sql"}), HasSubstr("vitrine sql needs a TARGET"));
    EXPECT_EQ(usage_line(*find_command("sql")), "vitrine sql [OPTIONS] TARGET... [SQL]");
    EXPECT_THAT(completion_script("zsh"), HasSubstr("'*:TARGET:_vitrine_target'"));
}

TEST(Parse, HelpNeedsNothingElse) {
    const auto parsed = parse({"ps", "--help"});
    ASSERT_TRUE(parsed);
    EXPECT_TRUE(parsed->arguments.has("--help"));
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
}

void expect_to_fit(const std::string& help, std::size_t most_lines) {
    const auto lines = lines_of(help);
    EXPECT_LE(lines.size(), most_lines) << help;
    for (const std::string& line : lines) EXPECT_LE(display_width(line), 110u) << line;
}

TEST(Help, EveryCommandTeaches) {
    for (const Command* command : all_commands()) {
        const std::string help = help_text(*command);
        SCOPED_TRACE(command->name);
        EXPECT_GE(command->examples.size(), 3u);
        for (const Example& example : command->examples) {
            EXPECT_THAT(help, HasSubstr(std::string(example.command)));
            EXPECT_THAT(std::string(example.command), HasSubstr("vitrine"));
        }
        EXPECT_THAT(help, HasSubstr("Usage: vitrine " + std::string(command->name)));
        for (const ExitCodeSpec& spec : exit_codes())
            EXPECT_THAT(help, HasSubstr(std::to_string(static_cast<int>(spec.code)) + " " +
                                        std::string(spec.brief).substr(0, 2)));
        for (const OptionSpec& option : command->options) EXPECT_THAT(help, HasSubstr(std::string(option.doc)));
        expect_to_fit(help, 52);
    }
    expect_to_fit(help_text(), 72);
}

// An example that does not parse teaches nonsense.
TEST(Help, EveryExampleParses) {
    for (const Command* command : all_commands()) {
        for (const Example& example : command->examples) {
            std::string text(example.command);
            const auto at = text.find("vitrine ");
            if (at == std::string::npos || text.starts_with("man ")) continue;
            text = text.substr(at + 8, text.find_first_of("|>)", at) - at - 8);
            std::vector<std::string> words;
            std::istringstream stream(text);
            for (std::string word; stream >> word;) {
                std::erase(word, '\'');
                words.push_back(word);
            }
            const auto parsed = parse(words);
            EXPECT_TRUE(parsed) << example.command << ": " << (parsed ? "" : parsed.error().text);
        }
    }
}

TEST(Model, NamesAreUniqueWithinACommand) {
    std::set<std::string_view> names;
    for (const Command* command : all_commands()) {
        EXPECT_TRUE(names.insert(command->name).second) << command->name;
        EXPECT_NE(command->run == nullptr, command->view == nullptr);
        std::set<std::string_view> options;
        const auto add = [&](std::span<const OptionSpec> group) {
            for (const OptionSpec& option : group) {
                EXPECT_TRUE(options.insert(option.name).second) << command->name << option.name;
                if (!option.short_name.empty()) {
                    EXPECT_TRUE(options.insert(option.short_name).second) << command->name << option.short_name;
                }
                EXPECT_EQ(option.kind == ValueKind::flag, option.value.empty()) << option.name;
            }
        };
        add(command->options);
        if (command->is_query) add(kQueryGroup.options);
        if (command->has_target) add(kAccessGroup.options);
        add(kOutputGroup.options);
        add(kGeneralGroup.options);
    }
    for (const ViewCommand* view : built_in_views())
        EXPECT_NE(find_command(view->view().name), nullptr) << view->view().name;
}

TEST(Manual, IsCurrent) {
    std::ifstream file(std::string(VITRINE_DOCS) + "/commands.md");
    std::stringstream text;
    text << file.rdbuf();
    EXPECT_EQ(text.str(), commands_markdown()) << "build the target docs_commands to write it anew";
}

TEST(Manual, PagesOfTheTablesAreCurrent) {
    const std::filesystem::path folder = std::string(VITRINE_DOCS) + "/tables";
    const auto text_of = [&](std::string_view name) {
        std::ifstream file(folder / fmt::format("{}.md", name));
        std::stringstream text;
        text << file.rdbuf();
        return text.str();
    };
    std::set<std::string> wanted{"README.md"};
    EXPECT_EQ(text_of("README"), tables_markdown(all_tables(), sql_functions())) << "build the target docs_commands";
    for (const Table* table : all_tables()) {
        wanted.insert(fmt::format("{}.md", table->spec.name));
        EXPECT_EQ(text_of(table->spec.name), table_markdown(*table)) << "build the target docs_commands";
    }
    std::set<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) found.insert(entry.path().filename());
    EXPECT_EQ(found, wanted) << "a page of a table that there is not";
}

TEST(Manual, ManPageHoldsEverything) {
    const std::string page = man_page("1.2.3");
    EXPECT_TRUE(page.starts_with(".TH VITRINE 1"));
    for (const Command* command : all_commands()) {
        if (!command->hidden) {
            std::string name(command->name);  // hyphens are escaped
            for (auto at = name.find('-'); at != std::string::npos; at = name.find('-', at + 2))
                name.insert(at, 1, '\\');
            EXPECT_THAT(page, HasSubstr(".SS vitrine " + name));
        }
    }
    for (const ExitCodeSpec& spec : exit_codes())
        EXPECT_THAT(page, HasSubstr(".B " + std::to_string(static_cast<int>(spec.code))));
}

TEST(Completion, EveryShellKnowsEveryCommand) {
    for (const char* shell : {"bash", "zsh", "fish"}) {
        const std::string script = completion_script(shell);
        for (const Command* command : all_commands()) {
            if (!command->hidden) {
                EXPECT_THAT(script, HasSubstr(std::string(command->name)));
            }
        }
        EXPECT_THAT(script, HasSubstr("no-registers"));
    }
    EXPECT_EQ(completion_script("tcsh"), "");
}

TEST(Suggest, OnlyWhatIsNear) {
    const std::vector<std::string_view> words{"list", "modules", "threads"};
    EXPECT_EQ(nearest("lsit", words), "list");
    EXPECT_EQ(nearest("module", words), "modules");
    EXPECT_EQ(nearest("zebra", words), "");
    EXPECT_EQ(nearest(std::string(100000, 'x'), words), "");
}

}  // namespace
}  // namespace vitrine::cli
