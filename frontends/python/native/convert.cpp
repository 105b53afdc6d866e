#include "convert.h"

#include "failure.h"

namespace vitrine::python {
namespace {

// Never freed: the interpreter ends before static objects do.
py::handle address_class;

Value integer_value(const py::handle& object) {
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(object.ptr(), &overflow);
    if (overflow == 0) return std::int64_t{number};
    // The upper half of the 64-bit addresses: the same bits as a negative number, as the tables have them.
    const std::uint64_t bits = overflow > 0 ? PyLong_AsUnsignedLongLong(object.ptr()) : 0;
    if (overflow < 0 || PyErr_Occurred() != nullptr) {
        PyErr_Clear();
        throw usage("a parameter does not fit in 64 bits");
    }
    return AddressValue{bits};
}

}  // namespace

void prepare_conversions() {
    if (!address_class) address_class = py::object(py::module_::import("vitrine._address").attr("Address")).release();
}

py::str to_text(std::string_view bytes) {
    PyObject* text = PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "surrogateescape");
    if (text == nullptr) throw py::error_already_set();
    return py::reinterpret_steal<py::str>(text);
}

std::string to_bytes(const py::str& text) {
    const auto encoded = py::reinterpret_steal<py::bytes>(
        PyUnicode_AsEncodedString(text.ptr(), "utf-8", "surrogateescape"));
    if (!encoded) throw py::error_already_set();
    return encoded;
}

py::tuple text_tuple(const std::vector<std::string>& lines) {
    py::tuple all(lines.size());
    for (std::size_t i = 0; i < lines.size(); ++i) all[i] = to_text(lines[i]);
    return all;
}

py::object to_text_or_none(std::string_view bytes) {
    return bytes.empty() ? py::object(py::none()) : py::object(to_text(bytes));
}

py::object to_address(std::uint64_t address) { return address_class(py::int_(address)); }

py::object to_python(const Value& value, ColumnType type) {
    if (const auto* text = std::get_if<std::string>(&value)) return to_text(*text);
    if (const auto* number = std::get_if<std::int64_t>(&value)) {
        if (type == ColumnType::boolean) return py::bool_(*number != 0);
        return py::int_(*number);
    }
    if (const auto* address = std::get_if<AddressValue>(&value)) return to_address(address->value);
    if (const auto* real = std::get_if<double>(&value)) return py::float_(*real);
    return py::none();
}

Value to_value(const py::handle& object) {
    if (object.is_none()) return std::monostate{};
    if (PyLong_Check(object.ptr())) {  // bool, and Address too
        if (py::isinstance(object, address_class)) return AddressValue{object.cast<std::uint64_t>()};
        return integer_value(object);
    }
    if (PyFloat_Check(object.ptr())) return PyFloat_AS_DOUBLE(object.ptr());
    if (PyUnicode_Check(object.ptr())) return to_bytes(py::reinterpret_borrow<py::str>(object));
    if (PyBytes_Check(object.ptr())) return std::string(py::reinterpret_borrow<py::bytes>(object));
    if (PyIndex_Check(object.ptr())) {
        const auto number = py::reinterpret_steal<py::object>(PyNumber_Index(object.ptr()));
        if (!number) throw py::error_already_set();
        return integer_value(number);
    }
    throw usage("a parameter is None, an int, a float, a str or bytes, not " +
                py::str(py::type::handle_of(object).attr("__name__")).cast<std::string>());
}

}  // namespace vitrine::python
