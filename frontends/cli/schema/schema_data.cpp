#include "schema/schema_data.h"

#include "render/json.h"
#include "schema/schema_text.h"

namespace vitrine::cli {
namespace {

void write_texts(JsonWriter& json, std::string_view key, std::span<const std::string_view> texts) {
    json.key(key);
    json.begin_array();
    for (const std::string_view text : texts) json.text(text);
    json.end_array();
}

void write_columns(JsonWriter& json, std::span<const Column> columns) {
    json.key("columns");
    json.begin_array();
    for (const Column& column : columns) {
        json.begin_object();
        json.key("name");
        json.text(column.name);
        json.key("type");
        json.text(to_string(column.type));
        json.key("unit");
        json.text_or_null(to_string(column.unit));
        json.key("index");
        json.boolean(column.role == ColumnRole::index);
        json.key("description");
        json.text(column.doc);
        json.end_object();
    }
    json.end_array();
}

void write_needs(JsonWriter& json, const Table& table) {
    json.key("needs");
    json.begin_array();
    for (const NeedGroup* group : table_needs(table)) {
        for (const MemberNeed& need : group->members) {
            json.begin_object();
            json.key("group");
            json.text(group->name);
            json.key("structure");
            json.text(need.structure);
            json.key("members");
            json.begin_array();
            for (const std::string_view path : need.paths) {
                if (!path.empty()) json.text(path);
            }
            json.end_array();
            json.key("required");
            json.boolean(need.required);
            json.end_object();
        }
    }
    json.end_array();
}

void write_table(JsonWriter& json, const Table& table) {
    const TableSpec& spec = table.spec;
    json.begin_object();
    json.key("kind");
    json.text("table");
    json.key("name");
    json.text(spec.name);
    json.key("description");
    json.text(spec.summary);
    write_texts(json, "guests", table_guests(table));
    write_columns(json, spec.columns);
    write_needs(json, table);
    write_texts(json, "examples", spec.examples);
    write_texts(json, "queries", spec.queries);
    json.key("invariants");
    json.begin_array();
    for (const Invariant& invariant : spec.invariants) {
        json.begin_object();
        json.key("name");
        json.text(invariant.name);
        json.key("sql");
        json.text(invariant.sql);
        json.end_object();
    }
    json.end_array();
    json.end_object();
}

void write_function(JsonWriter& json, const FunctionSpec& function) {
    json.begin_object();
    json.key("kind");
    json.text("function");
    json.key("name");
    json.text(function.name);
    json.key("arguments");
    json.text(function.arguments);
    json.key("description");
    json.text(function.doc);
    json.end_object();
}

}  // namespace

void write_schema_data(Session& session, std::span<const Table* const> tables,
                       std::span<const FunctionSpec> functions) {
    const bool lines = session.settings().format == Format::ndjson;
    JsonWriter json(session.out(), lines ? 0 : 2);
    if (!lines) json.begin_array();
    for (const Table* table : tables) write_table(json, *table);
    for (const FunctionSpec& function : functions) write_function(json, function);
    if (!lines) json.end_array();
}

}  // namespace vitrine::cli
