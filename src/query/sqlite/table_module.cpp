#include "query/sqlite/table_module.h"

#include <fmt/format.h>

#include <cmath>
#include <new>
#include <string>

#include "query/sqlite/constraints.h"

namespace vitrine::sql {
namespace {

struct VirtualTable {
    sqlite3_vtab base{};  // first: SQLite knows only this
    TableModule* module = nullptr;
};

struct Cursor {
    sqlite3_vtab_cursor base{};
    std::vector<Slice> slices;            // of each guest that is asked
    std::vector<std::size_t> guests;      // which guest a slice is of
    std::size_t slice = 0, position = 0;  // where it stands

    void skip_empty() {
        while (slice < slices.size() && position >= slices[slice].size()) {
            ++slice;
            position = 0;
        }
    }
};

VirtualTable& of(sqlite3_vtab* table) { return *reinterpret_cast<VirtualTable*>(table); }
Cursor& of(sqlite3_vtab_cursor* cursor) { return *reinterpret_cast<Cursor*>(cursor); }
TableModule& module_of(sqlite3_vtab_cursor* cursor) { return *of(cursor->pVtab).module; }

int connect(sqlite3* database, void* context, int, const char* const*, sqlite3_vtab** made, char** message) {
    auto& module = *static_cast<TableModule*>(context);
    std::string declaration = "CREATE TABLE x(";
    for (const Column& column : module.table->spec.columns)
        declaration += fmt::format("\"{}\" {}, ", column.name, sql_type(column.type));
    declaration += "\"vm\" TEXT HIDDEN)";
    module.state->declaring = true;
    const int code = sqlite3_declare_vtab(database, declaration.c_str());
    module.state->declaring = false;
    if (code != SQLITE_OK) {
        *message = sqlite3_mprintf("%s", sqlite3_errmsg(database));
        return code;
    }
    auto* table = new (std::nothrow) VirtualTable;
    if (table == nullptr) return SQLITE_NOMEM;
    table->module = &module;
    *made = &table->base;
    return SQLITE_OK;
}

int disconnect(sqlite3_vtab* table) {
    delete &of(table);
    return SQLITE_OK;
}

// Which column is asked for by equality, or by a pattern, and which guest; the plan keeps them in a byte each (column + 1), the first lowest, and
// above them of what kind the first is. The hidden column vm, which is behind the last, chooses guests.
constexpr std::size_t kMostArguments = 2;
constexpr unsigned kGlobPlan = 1u << 16, kLikePlan = 1u << 17;

int best_index(sqlite3_vtab* table, sqlite3_index_info* info) {
    const TableModule& module = *of(table).module;
    if (module.state->statement == nullptr) return SQLITE_ERROR;
    module.state->statement->use(*module.table, info->colUsed);
    const auto columns = module.table->spec.columns;
    const Constraints found = constraints_of(columns, info);
    unsigned plan = 0, arguments = 0;
    std::string text;
    for (const int i : {found.key(), found.vm}) {
        if (i < 0) continue;
        const auto column = static_cast<unsigned>(info->aConstraint[i].iColumn);
        plan |= (column + 1) << (8 * arguments);
        info->aConstraintUsage[i].argvIndex = static_cast<int>(++arguments);
        std::string_view operation = "=";
        if (i == found.pattern) {
            const bool is_glob = info->aConstraint[i].op == SQLITE_INDEX_CONSTRAINT_GLOB;
            plan |= is_glob ? kGlobPlan : kLikePlan;
            operation = is_glob ? " GLOB " : " LIKE ";
        }
        text += fmt::format("{}{}{}?", text.empty() ? "" : " AND ",
                            column >= columns.size() ? std::string_view("vm") : columns[column].name, operation);
    }
    info->idxNum = static_cast<int>(plan);
    info->idxStr = sqlite3_mprintf("%s", text.c_str());
    if (info->idxStr == nullptr) return SQLITE_NOMEM;
    info->needToFreeIdxStr = 1;
    // A key costs what finding it in the rows of one reading costs, or less.
    const double guests = found.vm >= 0 ? 1.0 : static_cast<double>(module.state->guests.size());
    // A pattern takes a whole reading, and leaves fewer rows.
    const auto by_key = [&](double by_index, double by_column, double by_pattern, double all) {
        return guests * (found.index >= 0     ? by_index
                         : found.plain >= 0   ? by_column
                         : found.pattern >= 0 ? by_pattern
                                              : all);
    };
    info->estimatedCost = by_key(10.0, 100.0, 9'000.0, 10'000.0);
    info->estimatedRows = static_cast<sqlite3_int64>(by_key(5.0, 20.0, 250.0, 1000.0));
    return SQLITE_OK;
}

// SQLite compares by the column's affinity and the value's; what it hands down has none. nullopt: equal to nothing.
std::optional<Value> as_column(sqlite3_value* value, ColumnType type) {
    if (sqlite3_value_type(value) == SQLITE_NULL) return std::nullopt;
    if (type == ColumnType::text) {
        const auto* text = reinterpret_cast<const char*>(sqlite3_value_text(value));
        if (text == nullptr) return std::nullopt;
        return std::string(text, static_cast<std::size_t>(sqlite3_value_bytes(value)));
    }
    const int kind = sqlite3_value_numeric_type(value);
    std::int64_t number = 0;
    if (kind == SQLITE_INTEGER) {
        number = sqlite3_value_int64(value);
    } else if (kind == SQLITE_FLOAT) {
        const double real = sqlite3_value_double(value);
        if (std::trunc(real) != real || std::abs(real) >= 0x1p63) return std::nullopt;
        number = static_cast<std::int64_t>(real);
    } else {
        return std::nullopt;
    }
    if (type == ColumnType::address) return AddressValue{static_cast<std::uint64_t>(number)};
    return number;
}

int open(sqlite3_vtab*, sqlite3_vtab_cursor** made) {
    auto* cursor = new (std::nothrow) Cursor;
    if (cursor == nullptr) return SQLITE_NOMEM;
    *made = &cursor->base;
    return SQLITE_OK;
}

int close(sqlite3_vtab_cursor* cursor) {
    delete &of(cursor);
    return SQLITE_OK;
}

struct Asked {
    Wanted wanted;
    std::optional<std::string> vm;
    bool none = false;  // no row can be
};

// A text column compared with what is no text: as texts or as numbers, only SQLite knows. It does that itself.
bool tells_nothing(sqlite3_value* value, ColumnType type) {
    const int kind = sqlite3_value_type(value);
    return type == ColumnType::text && kind != SQLITE_TEXT && kind != SQLITE_NULL;
}

// nullopt: SQLite alone knows what it means.
std::optional<TextPattern> pattern_of(std::size_t column, unsigned plan, sqlite3_value* value) {
    if (sqlite3_value_type(value) != SQLITE_TEXT) return std::nullopt;
    const auto* text = reinterpret_cast<const char*>(sqlite3_value_text(value));
    if (text == nullptr || sqlite3_value_bytes(value) > TextPattern::kLongest) return std::nullopt;
    return TextPattern{column, (plan & kGlobPlan) != 0 ? TextPattern::Kind::glob : TextPattern::Kind::like, text};
}

Asked asked(const Table& table, unsigned plan, std::span<sqlite3_value*> arguments) {
    Asked asked;
    for (std::size_t i = 0; i < arguments.size() && i < kMostArguments; ++i) {
        const std::size_t column = (plan >> (8 * i) & 0xff) - 1;
        const bool is_vm = column >= table.spec.columns.size();
        const ColumnType type = is_vm ? ColumnType::text : table.spec.columns[column].type;
        if (i == 0 && (plan & (kGlobPlan | kLikePlan)) != 0) {
            asked.wanted.pattern = pattern_of(column, plan, arguments[i]);
            continue;
        }
        if (tells_nothing(arguments[i], type)) continue;
        auto value = as_column(arguments[i], type);
        if (!value) asked.none = true;
        else if (is_vm) asked.vm = std::get<std::string>(*value);
        else asked.wanted.equal.push_back({column, std::move(*value)});
    }
    return asked;
}

int filter(sqlite3_vtab_cursor* base, int plan, const char*, int count, sqlite3_value** arguments) {
    Cursor& cursor = of(base);
    const TableModule& module = module_of(base);
    cursor = Cursor{cursor.base, {}, {}, 0, 0};
    if (module.state->statement == nullptr) return SQLITE_ERROR;
    const Asked asked_for = asked(*module.table, static_cast<unsigned>(plan),
                                  std::span(arguments, static_cast<std::size_t>(count)));
    for (std::size_t i = 0; i < module.state->guests.size() && !asked_for.none; ++i) {
        if (asked_for.vm && *asked_for.vm != module.state->guests[i].name) continue;
        Slice slice;
        if (!module.state->statement->read(*module.table, i, asked_for.wanted, slice)) return SQLITE_INTERRUPT;
        cursor.slices.push_back(std::move(slice));
        cursor.guests.push_back(i);
    }
    cursor.skip_empty();
    return SQLITE_OK;
}

int next(sqlite3_vtab_cursor* base) {
    Cursor& cursor = of(base);
    ++cursor.position;
    cursor.skip_empty();
    return SQLITE_OK;
}

int at_end(sqlite3_vtab_cursor* base) {
    const Cursor& cursor = of(base);
    return cursor.slice >= cursor.slices.size() ? 1 : 0;
}

// Texts stay where they are until the statement ends.
void give_text(sqlite3_context* context, std::string_view text) {
    sqlite3_result_text64(context, text.data() == nullptr ? "" : text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
}

int column(sqlite3_vtab_cursor* base, sqlite3_context* context, int number) {
    const Cursor& cursor = of(base);
    const TableModule& module = module_of(base);
    const auto index = static_cast<std::size_t>(number);
    if (index >= module.table->spec.columns.size()) {
        give_text(context, module.state->guests[cursor.guests[cursor.slice]].name);
        return SQLITE_OK;
    }
    const Slice& slice = cursor.slices[cursor.slice];
    const Cell cell = slice.store->at(slice.row(cursor.position), index);
    switch (cell.kind) {
        case Cell::Kind::null: sqlite3_result_null(context); break;
        case Cell::Kind::integer: sqlite3_result_int64(context, cell.integer); break;
        case Cell::Kind::real: sqlite3_result_double(context, cell.real); break;
        case Cell::Kind::text: give_text(context, cell.text); break;
    }
    return SQLITE_OK;
}

// The same for the same row of every cursor of the statement: SQLite tells rows apart by it (OR over two keys, RIGHT and FULL JOIN). It is,
// if the statement reads whole tables only: Statement::needs_row_numbers().
int rowid(sqlite3_vtab_cursor* base, sqlite3_int64* id) {
    const Cursor& cursor = of(base);
    const std::size_t row = cursor.slices[cursor.slice].row(cursor.position);
    *id = static_cast<sqlite3_int64>(cursor.guests[cursor.slice] << 32 | row);
    return SQLITE_OK;
}

// No xCreate: the table is there by its name, and nobody can make another one of the module.
const sqlite3_module kModule = [] {
    sqlite3_module module{};
    module.iVersion = 1;
    module.xConnect = connect;
    module.xBestIndex = best_index;
    module.xDisconnect = disconnect;
    module.xOpen = open;
    module.xClose = close;
    module.xFilter = filter;
    module.xNext = next;
    module.xEof = at_end;
    module.xColumn = column;
    module.xRowid = rowid;
    return module;
}();

}  // namespace

const char* sql_type(ColumnType type) {
    switch (type) {
        case ColumnType::integer: return "BIGINT";
        case ColumnType::address: return kAddressType;
        case ColumnType::real: return "REAL";
        case ColumnType::text: return "TEXT";
        case ColumnType::boolean: return "BOOLEAN";
    }
    return "TEXT";
}

int register_table(sqlite3* database, TableModule& module) {
    const std::string name(module.table->spec.name);
    return sqlite3_create_module_v2(database, name.c_str(), &kModule, &module, nullptr);
}

}  // namespace vitrine::sql
