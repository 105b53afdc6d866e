#include <fmt/format.h>

#include "commands/commands.h"
#include "query/find_table.h"
#include "render/wrap.h"
#include "schema/schema_data.h"
#include "schema/schema_text.h"

namespace vitrine::cli {
namespace {

constexpr Example kExamples[] = {
    {"vitrine schema", "the tables, and the functions that SQL has besides its own"},
    {"vitrine schema processes", "the columns of one table, and what they mean"},
    {"vitrine schema --format json", "everything about every table, for a program"},
    {"vitrine schema processes --format markdown", "as a page"},
};

constexpr ArgumentSpec kArguments[] = {{"TABLE", "show the columns of this table", ArgumentKind::table, false}};

void list_tables(Session& session) {
    const bool prose = session.settings().format == Format::table;
    const std::vector<OutputColumn> columns{
        {"table", ColumnType::text}, {"columns", ColumnType::integer}, {"summary", ColumnType::text}};
    const auto writer = make_row_writer(session.out(), session.style(), columns);
    for (const Table* table : session.engine().tables()) {
        const std::vector<Value> values{std::string(table->spec.name),
                                        static_cast<std::int64_t>(table->spec.columns.size()),
                                        std::string(table->spec.summary)};
        writer->row(values);
    }
    // The functions follow as rows without columns of their own, or under a heading.
    for (const FunctionSpec& function : sql_functions()) {
        if (prose) break;
        const std::vector<Value> values{fmt::format("{}({})", function.name, function.arguments), Value(),
                                        std::string(function.doc)};
        writer->row(values);
    }
    writer->finish();
    if (!prose || sql_functions().empty()) return;
    const std::vector<OutputColumn> function_columns{{"function", ColumnType::text}, {"value", ColumnType::text}};
    session.out().write("\n");
    const auto functions = make_row_writer(session.out(), session.style(), function_columns);
    for (const FunctionSpec& function : sql_functions()) {
        const std::vector<Value> values{fmt::format("{}({})", function.name, function.arguments),
                                        std::string(function.doc)};
        functions->row(values);
    }
    functions->finish();
}

void write_columns(Session& session, const TableSpec& spec) {
    const std::vector<OutputColumn> columns{{"column", ColumnType::text},
                                            {"type", ColumnType::text},
                                            {"unit", ColumnType::text},
                                            {"index", ColumnType::boolean},
                                            {"description", ColumnType::text}};
    const auto writer = make_row_writer(session.out(), session.style(), columns);
    for (const Column& column : spec.columns) {
        const std::string_view unit = to_string(column.unit);
        const std::vector<Value> values{std::string(column.name), std::string(to_string(column.type)),
                                        unit.empty() ? Value() : Value(std::string(unit)),
                                        std::int64_t{column.role == ColumnRole::index}, std::string(column.doc)};
        writer->row(values);
    }
    writer->finish();
}

// Columns as a table for people: the unit stands with the type, and an index is marked.
void show_columns(Session& session, const TableSpec& spec) {
    const std::vector<OutputColumn> columns{
        {"column", ColumnType::text}, {"type", ColumnType::text}, {"description", ColumnType::text}};
    const auto writer = make_row_writer(session.out(), session.style(), columns);
    for (const Column& column : spec.columns) {
        std::string type(to_string(column.type));
        if (column.unit != Unit::none) type += fmt::format(", {}", to_string(column.unit));
        const std::string name = fmt::format("{}{}", column.name, column.role == ColumnRole::index ? " *" : "");
        const std::vector<Value> values{name, std::move(type), std::string(column.doc)};
        writer->row(values);
    }
    writer->finish();
}

void show_texts(Session& session, std::string_view title, std::span<const std::string_view> texts) {
    if (texts.empty()) return;
    session.out().write(fmt::format("\n{}:\n", title));
    for (const std::string_view text : texts) session.out().write(hanging_lines("  ", text, 4, session.style().width));
}

void show_table(Session& session, const Table& table) {
    const TableSpec& spec = table.spec;
    const std::optional<std::size_t> width = session.style().width;
    session.out().write(hanging_lines(fmt::format("{}: ", spec.name), spec.summary, 2, width));
    session.out().write(hanging_lines("Guests: ", fmt::format("{}", fmt::join(table_guests(table), ", ")), 2, width) +
                        "\n");
    show_columns(session, spec);
    for (const Column& column : spec.columns) {
        if (column.role != ColumnRole::index) continue;
        session.out().write(hanging_lines("  ", "*: looked up; = costs less than reading all rows", 4, width));
        break;
    }
    show_texts(session, "Examples", spec.examples);
    show_texts(session, "Queries", spec.queries);
    if (!spec.invariants.empty()) session.out().write("\nInvariants, each returns no row:\n");
    for (const Invariant& invariant : spec.invariants)
        session.out().write(hanging_lines("  ", fmt::format("{}: {}", invariant.name, invariant.sql), 4, width));
    for (const NeedGroup* group : table_needs(table)) {
        std::string members;
        for (const MemberNeed& need : group->members) {
            members += fmt::format("{}{}{}{}", members.empty() ? "" : ", ", need.required ? "" : "[", need_text(need),
                                   need.required ? "" : "]");
        }
        session.out().write("\n" +
                            hanging_lines(fmt::format("Needs of the kernel, {}: ", group->name), members, 4, width));
    }
}

int run(Session& session, const Arguments& arguments) {
    const std::string_view name = arguments.text("TABLE");
    const Table* table = name.empty() ? nullptr : find_table(session, name);
    if (table == nullptr && !name.empty()) return unknown_table(session, name);
    const Format format = session.settings().format;
    if (format == Format::json || format == Format::ndjson) {
        if (table == nullptr) write_schema_data(session, session.engine().tables(), sql_functions());
        else write_schema_data(session, {&table, 1}, {});
    } else if (format == Format::markdown) {
        session.out().write(table == nullptr ? tables_markdown(session.engine().tables(), sql_functions())
                                             : table_markdown(*table));
    } else if (table == nullptr) {
        list_tables(session);
    } else if (format == Format::csv) {
        write_columns(session, table->spec);
    } else {
        show_table(session, *table);
    }
    return kExitOk;
}

}  // namespace

const Command kSchemaCommand{
    .name = "schema",
    .summary = "List the tables, or the columns of one",
    .description = "For programs: json holds the columns, examples, queries, invariants and needs of every table.",
    .arguments = kArguments,
    .options = {},
    .has_target = false,
    .examples = kExamples,
    .run = run,
};

}  // namespace vitrine::cli
