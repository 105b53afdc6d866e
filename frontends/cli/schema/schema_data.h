// `vitrine schema` for programs.
#pragma once

#include <span>

#include "app/session.h"
#include "vitrine/query/database.h"

namespace vitrine::cli {

// json, ndjson: one object for each table and function, complete. csv: see schema.cpp.
void write_schema_data(Session& session, std::span<const Table* const> tables, std::span<const FunctionSpec> functions);

}  // namespace vitrine::cli
