// The extension module vitrine._native: the library as it is. What Python programs see is made of it in vitrine/*.py.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>

#include "convert.h"
#include "facts.h"
#include "failure.h"
#include "object.h"
#include "query.h"
#include "raw_memory.h"
#include "session.h"

namespace vitrine::python {
namespace {

std::chrono::milliseconds milliseconds_of(double seconds) {
    constexpr double kLongest = 1e9;
    if (!(seconds > 0)) throw usage("time= is a number of seconds above 0");
    return std::chrono::milliseconds(static_cast<std::int64_t>(std::ceil(std::min(seconds, kLongest) * 1000)));
}

py::tuple query_limited(Session& session, const py::str& sql, const py::sequence& parameters,
                        std::optional<double> time, std::optional<std::uint64_t> rows,
                        std::optional<std::uint64_t> memory, const py::object& make_row_class) {
    QueryLimits limits;
    if (time) limits.time = milliseconds_of(*time);
    limits.rows = rows.value_or(limits.rows);
    limits.memory = memory.value_or(limits.memory);
    return query(session, sql, parameters, limits, make_row_class);
}

std::shared_ptr<Session> open(const std::vector<std::string>& targets, bool qmp, bool registers, bool cache,
                              const std::string& cache_directory, const std::optional<std::string>& symbols) {
    return std::make_shared<Session>(targets, Settings{qmp, registers, cache, cache_directory, symbols});
}

}  // namespace
}  // namespace vitrine::python

PYBIND11_MODULE(_native, module) {
    using namespace vitrine::python;
    prepare_conversions();
    register_failures();
    py::class_<Session, std::shared_ptr<Session>> type(module, "Session");
    refuse_new(type);
    type.def("query", &query_limited)
        .def("pause", method(&Session::pause))
        .def("resume", method(&Session::resume))
        .def("close", method(&Session::close))
        .def("interrupt", method(&Session::interrupt))
        .def_property_readonly("names", [](const Session& session) { return text_tuple(session.names()); })
        .def_property_readonly("targets", [](const Session& session) { return text_tuple(session.targets()); })
        .def_property_readonly("is_closed", method(&Session::is_closed));
    module.attr("version") = VITRINE_VERSION;
    module.def("open", &vitrine::python::open);
    module.def("readers", &WithoutInterpreter::count);
    module.def("forget_readers", &WithoutInterpreter::forget);
    register_facts(module);
    register_raw_memory(module);
    register_objects(module);
}
