// One virtual table for each Table: SQLite's side of reading. Equalities that SQLite wants are handed down; the rest it does itself.
#pragma once

#include <sqlite3.h>

#include <cstddef>
#include <span>

#include "query/sqlite/statement.h"

namespace vitrine::sql {

// What the modules of one database share.
struct ModuleState {
    std::span<const NamedGuest> guests;
    Statement* statement = nullptr;  // the one that runs; null between statements
    bool declaring = false;          // a virtual table is being declared
};

// Makes a statement the one that runs, until its end: also when what it calls throws.
class Running {
public:
    Running(ModuleState& state, Statement& statement) : state_(state) { state.statement = &statement; }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    ~Running() { state_.statement = nullptr; }

private:
    ModuleState& state_;
};

// Stays at its address while the database is open.
struct TableModule {
    const Table* table = nullptr;
    ModuleState* state = nullptr;
};

// SQLite's code: SQLITE_OK, or what went wrong.
int register_table(sqlite3* database, TableModule& module);

// SQL type names of columns, which name their kind in results.
inline constexpr const char* kAddressType = "ADDRESS";
[[nodiscard]] const char* sql_type(ColumnType type);

}  // namespace vitrine::sql
