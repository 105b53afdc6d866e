#include <fmt/format.h>

#include "commands/commands.h"
#include "model/suggest.h"
#include "query/query.h"
#include "render/wrap.h"

namespace vitrine::cli {
namespace {

constexpr Example kExamples[] = {
    {"vitrine schema", "the tables"},
    {"vitrine schema processes", "the columns of one table, and what they mean"},
    {"vitrine schema --format json", "the tables, for a program"},
};

constexpr ArgumentSpec kArguments[] = {{"TABLE", "show the columns of this table", ArgumentKind::table, false}};

std::string_view type_name(ColumnType type) {
    switch (type) {
        case ColumnType::integer: return "integer";
        case ColumnType::address: return "address";
        case ColumnType::real: return "real";
        case ColumnType::text: return "text";
        case ColumnType::boolean: return "boolean";
    }
    return "unknown";
}

void list_tables(Session& session) {
    const std::vector<OutputColumn> columns{
        {"table", ColumnType::text}, {"columns", ColumnType::integer}, {"summary", ColumnType::text}};
    const auto writer = make_row_writer(session.out(), session.style(), columns);
    for (const Table* table : session.engine().tables()) {
        const std::vector<Value> values{std::string(table->spec.name),
                                        static_cast<std::int64_t>(table->spec.columns.size()),
                                        std::string(table->spec.summary)};
        writer->row(values);
    }
    writer->finish();
}

void list_columns(Session& session, const TableSpec& spec) {
    const bool prose = session.settings().format == Format::table;
    const std::optional<std::size_t> width = session.style().width;
    if (prose) session.out().write(hanging_lines(fmt::format("{}: ", spec.name), spec.summary, 2, width) + "\n");
    const std::vector<OutputColumn> columns{
        {"column", ColumnType::text}, {"type", ColumnType::text}, {"description", ColumnType::text}};
    const auto writer = make_row_writer(session.out(), session.style(), columns);
    for (const Column& column : spec.columns) {
        const std::vector<Value> values{std::string(column.name), std::string(type_name(column.type)),
                                        std::string(column.doc)};
        writer->row(values);
    }
    writer->finish();
    if (prose && !spec.examples.empty()) {
        session.out().write("\nExamples:\n");
        for (const std::string_view example : spec.examples)
            session.out().write(hanging_lines("  ", example, 4, width));
    }
}

int run(Session& session, const Arguments& arguments) {
    const std::string_view name = arguments.text("TABLE");
    if (name.empty()) {
        list_tables(session);
        return kExitOk;
    }
    const Table* table = find_table(session, name);
    if (table == nullptr) {
        std::vector<std::string_view> names;
        for (const Table* known : session.engine().tables()) names.push_back(known->spec.name);
        const std::string_view near = nearest(name, names);
        return session.usage(fmt::format("there is no table '{}'", name),
                             near.empty() ? "vitrine schema lists the tables" : fmt::format("did you mean {}?", near));
    }
    list_columns(session, table->spec);
    return kExitOk;
}

}  // namespace

const Command kSchemaCommand{
    .name = "schema",
    .summary = "List the tables, or the columns of one",
    .description = "",
    .arguments = kArguments,
    .options = {},
    .has_target = false,
    .examples = kExamples,
    .run = run,
};

}  // namespace vitrine::cli
