// Values of the library as Python's, and back.
//
// Text of a guest is any bytes: what is not UTF-8 becomes lone surrogates (the error handler "surrogateescape"), so that
// text.encode("utf-8", "surrogateescape") gives the bytes again.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vitrine/query/table.h"

namespace vitrine::python {

namespace py = pybind11;

[[nodiscard]] py::str to_text(std::string_view bytes);
[[nodiscard]] std::string to_bytes(const py::str& text);
[[nodiscard]] py::tuple text_tuple(const std::vector<std::string>& lines);
[[nodiscard]] py::object to_text_or_none(std::string_view bytes);  // "" is None

[[nodiscard]] py::object to_address(std::uint64_t address);  // vitrine.Address
[[nodiscard]] py::object to_python(const Value& value, ColumnType type);

// Before anything is converted, once.
void prepare_conversions();

// None, bool, int (or what stands for one), float, str, bytes (a text of these bytes); usage for what SQL has no value for.
[[nodiscard]] Value to_value(const py::handle& object);

// __new__ alone would make an object with nothing behind it, which pybind11 takes for one.
template <class Class>
void refuse_new(Class& of) {
    of.def_static("__new__", [](const py::args&, const py::kwargs&) -> py::object {
        throw py::type_error("vitrine.open() makes these");
    });
}

// A method as a function of a reference, which None is not. A pointer would be null.
template <class R, class C, class... Arguments>
auto method(R (C::*of)(Arguments...) const) {
    return
        [of](const C& self, Arguments... arguments) -> R { return (self.*of)(std::forward<Arguments>(arguments)...); };
}
template <class R, class C, class... Arguments>
auto method(R (C::*of)(Arguments...)) {
    return [of](C& self, Arguments... arguments) -> R { return (self.*of)(std::forward<Arguments>(arguments)...); };
}

// Seconds, as a float.
template <class Duration>
[[nodiscard]] double seconds(Duration duration) {
    return static_cast<double>(duration.count()) * static_cast<double>(Duration::period::num) /
           static_cast<double>(Duration::period::den);
}

}  // namespace vitrine::python
