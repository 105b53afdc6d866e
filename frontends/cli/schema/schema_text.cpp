#include "schema/schema_text.h"

#include <fmt/format.h>

#include <algorithm>

namespace vitrine::cli {
namespace {

// Inside a cell of a Markdown table.
std::string cell(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '|' || c == '*' || c == '_' || c == '<' || c == '[') out += '\\';
        out += c;
    }
    return out;
}

std::string type_text(const Column& column) {
    std::string text(to_string(column.type));
    if (column.unit != Unit::none) text += fmt::format(", {}", to_string(column.unit));
    return text;
}

std::string columns_markdown(const Table& table) {
    std::string text = "| Column | Type | Description |\n|---|---|---|\n";
    for (const Column& column : table.spec.columns) {
        const std::string_view mark = column.role == ColumnRole::index ? " (index)" : "";
        text += fmt::format("| `{}`{} | {} | {} |\n", column.name, mark, type_text(column), cell(column.doc));
    }
    return text;
}

std::string code_block(std::string_view title, std::string_view language, std::span<const std::string_view> lines) {
    if (lines.empty()) return {};
    std::string text = fmt::format("\n## {}\n\n```{}\n", title, language);
    for (const std::string_view line : lines) text += fmt::format("{}{}\n", line, language == "sql" ? ";" : "");
    return text + "```\n";
}

std::string needs_markdown(const Table& table) {
    const auto groups = table_needs(table);
    if (groups.empty()) return {};
    std::string text =
        "\n## Needs of the kernel\n\nMembers of structures, looked up by name; those in parentheses can be "
        "missing.\n\n";
    for (const NeedGroup* group : groups) {
        std::string members;
        for (const MemberNeed& need : group->members) {
            const std::string one = fmt::format("`{}`", need_text(need));
            members += (members.empty() ? "" : ", ") + (need.required ? one : "(" + one + ")");
        }
        for (const std::string_view size : group->sizes)
            members += fmt::format("{}size of `{}`", members.empty() ? "" : ", ", size);
        text += fmt::format("- {}: {}\n", group->name, members);
    }
    return text;
}

}  // namespace

std::vector<std::string_view> table_guests(const Table& table) {
    std::vector<std::string_view> guests;
    for (const Generator& generator : table.generators)
        guests.push_back(generator.os.empty() ? std::string_view("any") : generator.os);
    return guests;
}

std::string need_text(const MemberNeed& need) {
    std::string text(need.structure);
    bool first = true;
    for (const std::string_view path : need.paths) {
        if (path.empty()) break;
        text += fmt::format("{}.{}", first ? "" : " or ", path);
        first = false;
    }
    return text;
}

std::vector<const NeedGroup*> table_needs(const Table& table) {
    std::vector<const NeedGroup*> groups;
    for (const Generator& generator : table.generators) {
        for (const NeedGroup* group : generator.needs) {
            if (std::find(groups.begin(), groups.end(), group) == groups.end()) groups.push_back(group);
        }
    }
    return groups;
}

std::string table_markdown(const Table& table) {
    const TableSpec& spec = table.spec;
    std::string text = fmt::format("# {}\n\n<!-- Made by `vitrine document tables`; a test compares. -->\n\n{}\n\n",
                                   spec.name, spec.summary);
    text += fmt::format("Guests: {}.\n\n{}", fmt::join(table_guests(table), ", "), columns_markdown(table));
    text += code_block("Examples", "", spec.examples) + code_block("Queries", "sql", spec.queries);
    if (!spec.invariants.empty()) {
        text += "\n## Invariants\n\nOf a guest that nobody tampered with, each of these returns no row.\n";
        for (const Invariant& invariant : spec.invariants)
            text += fmt::format("\n{}:\n\n```sql\n{};\n```\n", invariant.name, invariant.sql);
    }
    return text + needs_markdown(table);
}

std::string tables_markdown(std::span<const Table* const> tables, std::span<const FunctionSpec> functions) {
    std::string text = "# Tables\n\n<!-- Made by `vitrine document tables`; a test compares. -->\n\n";
    text += "Columns marked (index) are looked up: `column = value` costs less than reading all rows.\n\n";
    text += "| Table | Rows | Guests |\n|---|---|---|\n";
    for (const Table* table : tables) {
        text += fmt::format("| [{0}]({0}.md) | {1} | {2} |\n", table->spec.name, cell(table->spec.summary),
                            fmt::join(table_guests(*table), ", "));
    }
    if (functions.empty()) return text;
    text += "\n## Functions\n\nBesides SQLite's own.\n\n| Function | Value |\n|---|---|\n";
    for (const FunctionSpec& function : functions)
        text += fmt::format("| `{}({})` | {} |\n", function.name, function.arguments, cell(function.doc));
    return text;
}

std::string tables_man(std::span<const Table* const> tables) {
    std::string text;
    const auto roff = [](std::string_view plain) {
        std::string out;
        for (const char c : plain) {
            if (c == '\\') out += "\\e";
            else if (c == '-') out += "\\-";
            else out += c;
        }
        return out;
    };
    for (const Table* table : tables) {
        std::string names;
        for (const Column& column : table->spec.columns)
            names += fmt::format("{}{}", names.empty() ? "" : ", ", column.name);
        text += fmt::format(".TP\n.B {}\n{}\nColumns: {}.\n", roff(table->spec.name), roff(table->spec.summary),
                            roff(names));
    }
    return text;
}

}  // namespace vitrine::cli
