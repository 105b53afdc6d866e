// addr, addr_lt, sym: what SQL lacks for 64-bit addresses. SQLite's integers are signed; all here are taken as unsigned.
#pragma once

#include <sqlite3.h>

#include "query/sqlite/table_module.h"

namespace vitrine::sql {

// SQLite's code. The state outlives the database.
int register_functions(sqlite3* database, ModuleState& state);

}  // namespace vitrine::sql
