// One statement: rows are collected without the interpreter's lock, then made Python's.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "session.h"

namespace vitrine::python {

// (rows, what vitrine._result.Result tells of them). make_row_class(columns) gives what each row's tuple is handed to.
// Signal handlers run meanwhile; one that raises (KeyboardInterrupt) ends the statement.
[[nodiscard]] py::tuple query(Session& session, const py::str& sql, const py::sequence& parameters,
                              const QueryLimits& limits, const py::object& make_row_class);

}  // namespace vitrine::python
