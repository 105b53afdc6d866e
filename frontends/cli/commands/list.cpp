#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "app/session.h"
#include "commands/commands.h"

namespace vitrine::cli {
namespace {

constexpr Example kExamples[] = {
    {"vitrine list", "what runs here, and what to give as TARGET"},
    {"vitrine list --format json", "the same for a program, every column"},
    {"sudo vitrine list --format csv --no-header", "machines of all users, one line each"},
};

constexpr OptionSpec kOptions[] = {
    {"--columns", "", "A,B,...", "show these columns, in this order (all: every column)", ValueKind::text},
};

enum class Shown : std::uint8_t { always, if_any, on_demand };  // in a table; if_any: where a machine has a value

struct ListColumn {
    OutputColumn output;
    Shown in_table;
    Value (*value)(const MachineListing&);
};

Value text_or_null(const std::string& text) { return text.empty() ? Value() : Value(text); }

Value count_or_null(std::uint64_t count) { return count == 0 ? Value() : Value(static_cast<std::int64_t>(count)); }

const std::array<ListColumn, 13>& list_columns() {
    static const std::array<ListColumn, 13> columns{{
        {{"target", ColumnType::text}, Shown::always, [](const MachineListing& m) { return text_or_null(m.target); }},
        {{"name", ColumnType::text}, Shown::always, [](const MachineListing& m) { return text_or_null(m.name); }},
        {{"pid", ColumnType::integer},
         Shown::always,
         [](const MachineListing& m) { return m.pid ? Value(std::int64_t{*m.pid}) : Value(); }},
        {{"kind", ColumnType::text}, Shown::always, [](const MachineListing& m) { return text_or_null(m.kind); }},
        {{"accelerator", ColumnType::text},
         Shown::always,
         [](const MachineListing& m) { return text_or_null(m.accelerator); }},
        {{"memory", ColumnType::integer, Hint::bytes},
         Shown::always,
         [](const MachineListing& m) { return count_or_null(m.memory_bytes); }},
        {{"vcpus", ColumnType::integer}, Shown::always, [](const MachineListing& m) { return count_or_null(m.vcpus); }},
        {{"backend", ColumnType::text},
         Shown::on_demand,
         [](const MachineListing& m) { return text_or_null(m.backend); }},
        {{"qmp_socket", ColumnType::text},
         Shown::on_demand,
         [](const MachineListing& m) { return text_or_null(m.qmp_socket); }},
        {{"libvirt_domain", ColumnType::text},
         Shown::if_any,
         [](const MachineListing& m) { return text_or_null(m.libvirt_domain); }},
        {{"qmp_targets", ColumnType::text},
         Shown::if_any,
         [](const MachineListing& m) { return text_or_null(fmt::format("{}", fmt::join(m.qmp_targets, " "))); }},
        {{"state", ColumnType::text}, Shown::always, [](const MachineListing& m) { return text_or_null(m.state); }},
        {{"hint", ColumnType::text}, Shown::on_demand, [](const MachineListing& m) { return text_or_null(m.hint); }},
    }};
    return columns;
}

const ListColumn* find_column(std::string_view name) {
    for (const ListColumn& column : list_columns()) {
        if (column.output.name == name) return &column;
    }
    return nullptr;
}

bool is_shown(const Session& session, const ListColumn& column, const std::vector<MachineListing>& machines) {
    if (session.settings().format != Format::table || column.in_table == Shown::always) return true;
    return column.in_table == Shown::if_any &&
           std::any_of(machines.begin(), machines.end(), [&](const MachineListing& machine) {
               return !std::holds_alternative<std::monostate>(column.value(machine));
           });
}

OrExit<std::vector<const ListColumn*>> choose_columns(Session& session, std::string_view wanted,
                                                      const std::vector<MachineListing>& machines) {
    std::vector<const ListColumn*> chosen;
    if (wanted.empty() || wanted == "all") {
        for (const ListColumn& column : list_columns()) {
            if (wanted == "all" || is_shown(session, column, machines)) chosen.push_back(&column);
        }
        return chosen;
    }
    while (!wanted.empty()) {
        const auto comma = std::min(wanted.find(','), wanted.size());
        const ListColumn* column = find_column(wanted.substr(0, comma));
        if (column == nullptr) {
            return tl::make_unexpected(session.usage(fmt::format("list has no column '{}'", wanted.substr(0, comma)),
                                                     "vitrine list --columns all shows every column"));
        }
        chosen.push_back(column);
        wanted.remove_prefix(std::min(comma + 1, wanted.size()));
    }
    return chosen;
}

int run(Session& session, const Arguments& arguments) {
    // Before the host is looked at: a slip in the command line is told whatever runs.
    if (const auto known = choose_columns(session, arguments.text("--columns"), {}); !known) return known.error();
    const auto machines = session.engine().list_machines();
    if (!machines) return session.fail(machines.error(), Phase::open);
    const auto columns = choose_columns(session, arguments.text("--columns"), *machines);
    if (!columns) return columns.error();
    std::vector<OutputColumn> output;
    for (const ListColumn* column : *columns) output.push_back(column->output);
    const bool quiet = machines->empty() && session.settings().format == Format::table;
    if (!quiet) {
        const auto writer = make_row_writer(session.out(), session.style(), output);
        for (const MachineListing& machine : *machines) {
            std::vector<Value> values;
            for (const ListColumn* column : *columns) values.push_back(column->value(machine));
            writer->row(values);
        }
        writer->finish();
        session.out().flush();
    }
    if (machines->empty())
        session.messages().note("no virtual machine was found on this host; vitrine doctor says what can be seen");
    for (const MachineListing& machine : *machines) {
        if (!machine.hint.empty()) session.messages().note(fmt::format("{}: {}", machine.target, machine.hint));
    }
    return kExitOk;
}

}  // namespace

const Command kListCommand{
    .name = "list",
    .summary = "List the virtual machines of this host that can be looked into",
    .description =
        "Looks at processes, sockets and libvirt's files; connects to nothing. qmp_targets are TARGETs as well.",
    .arguments = {},
    .options = kOptions,
    .has_target = false,
    .examples = kExamples,
    .run = run,
};

}  // namespace vitrine::cli
