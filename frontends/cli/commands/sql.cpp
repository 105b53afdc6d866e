#include "commands/commands.h"
#include "sql/options.h"
#include "sql/tokens.h"

namespace vitrine::cli {
namespace {

constexpr Example kExamples[] = {
    {"vitrine sql qemu:web1 'SELECT name FROM processes WHERE uid = 0'", "any question about a guest"},
    {"vitrine sql qemu:web1 memory.img 'SELECT vm, pid FROM processes'", "several guests at once"},
    {"vitrine sql qemu:web1 --paused --format json - < questions.sql", "one moment, for a program"},
};

constexpr ArgumentSpec kArguments[] = {
    {"TARGET",
     "a guest, as for every command; several are one database, told apart by the column vm",
     ArgumentKind::target,
     true,
     {},
     true},
    {"SQL", "the last word: statements separated by semicolons; - reads them from standard input", ArgumentKind::text,
     false},
};

OrExit<std::string> find_sql(Session& session, const Arguments& arguments) {
    const std::string_view word = arguments.text("SQL");
    std::string text(word);
    if (!arguments.has("SQL") && is_terminal(session.in_fd())) {
        return tl::make_unexpected(session.usage("vitrine sql needs a statement after the TARGET",
                                                 "vitrine shell TARGET asks for one after the other"));
    }
    if (!arguments.has("SQL") || word == "-") {
        auto read = read_sql(session, session.in_fd());
        if (!read) return read;
        text = std::move(*read);
    }
    if (is_blank_sql(text)) {
        return tl::make_unexpected(
            session.usage("there is no SQL to run", "the last word is the SQL: see vitrine sql --help"));
    }
    return text;
}

int run(Session& session, const Arguments& arguments) {
    const auto settings = sql_settings(session, arguments);
    if (!settings) return settings.error();
    auto text = find_sql(session, arguments);
    if (!text) return text.error();
    auto group = GuestGroup::attach(session, arguments.list("TARGET"));
    if (!group) return group.error();
    SqlRunner runner(session, **group);
    return runner.run_all(std::move(*text), *settings, session.out(), session.style());
}

}  // namespace

const Command kSqlCommand{
    .name = "sql",
    .summary = "Ask a guest, or several, in SQL",
    .description =
        "vitrine schema lists the tables. Addresses are texts \"0x...\" in JSON and CSV. docs/sql.md tells more.",
    .arguments = kArguments,
    .options = sql_options(),
    .examples = kExamples,
    .run = run,
};

}  // namespace vitrine::cli
