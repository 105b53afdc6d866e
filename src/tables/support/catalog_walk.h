// The walk behind the tables about types: those of the kernel, then those of each module that has any.
#pragma once

#include <functional>
#include <string>

#include "tables/row.h"
#include "vitrine/base/function_ref.h"

namespace vitrine::tables {

struct CatalogPart {
    const TypeCatalog& types;
    TypeId first;               // what is below is another part's
    const std::string& module;  // "": the kernel's own
    std::size_t number = 0;     // of this walk: another one for each part
};

struct TypesWanted {
    const std::string* name = nullptr;    // only types of this name
    const std::string* module = nullptr;  // only those of this module
};

// Each type that is wanted, in the order of ids; `visit` returns false to stop. What cannot be read of a module is told to the sink, at most
// 1,000 times. The report's end is how the walk over the modules ended; its nodes are the caller's to count.
Result<WalkReport> for_each_type(LinuxGuest& guest, const TypesWanted& wanted, WalkBudget budget,
                                 std::string_view table, RowSink& sink,
                                 FunctionRef<bool(const CatalogPart&, TypeId)> visit);

}  // namespace vitrine::tables
