#include "failure.h"

#include "convert.h"

namespace vitrine::python {
namespace {

// The codes' own names: what programs compare with must not change with the wording of messages.
const char* code_name(Errc code) {
    switch (code) {
        case Errc::fault: return "fault";
        case Errc::not_present: return "not_present";
        case Errc::out_of_range: return "out_of_range";
        case Errc::malformed: return "malformed";
        case Errc::limit: return "limit";
        case Errc::cycle: return "cycle";
        case Errc::inconsistent: return "inconsistent";
        case Errc::unsupported: return "unsupported";
        case Errc::not_found: return "not_found";
        case Errc::ambiguous: return "ambiguous";
        case Errc::io: return "io";
        case Errc::permission: return "permission";
        case Errc::busy: return "busy";
        case Errc::timeout: return "timeout";
        case Errc::stale: return "stale";
        case Errc::usage: return "usage";
        case Errc::cancelled: return "cancelled";
        case Errc::not_recorded: return "not_recorded";
    }
    return "io";
}

// A new exception, made by vitrine._errors.
py::object exception_of(const char* code, const Error& error) {
    const py::object address = error.has_address ? to_address(error.address) : py::none();
    return py::module_::import("vitrine._errors")
        .attr("make")(code, to_text(to_string(error.origin)), address, to_text(error.to_string()),
                      to_text(error.hint()));
}

void raise(const py::object& exception) { PyErr_SetObject(py::type::handle_of(exception).ptr(), exception.ptr()); }

void translate(std::exception_ptr thrown) {
    try {
        if (thrown) std::rethrow_exception(thrown);
    } catch (const Closed& closed) {
        raise(exception_of("closed", closed.error()));
    } catch (const Failure& failure) {
        raise(exception_of(code_name(failure.error().code), failure.error()));
    }
}

}  // namespace

Error about(std::string_view subject, const Error& error) {
    Error named = Error::with_text(error.code, error.origin, std::string(subject) + ": " + error.to_string(),
                                   std::string(error.hint()));
    named.has_address = error.has_address;
    named.address = error.address;
    return named;
}

void register_failures() { py::register_exception_translator(translate); }

}  // namespace vitrine::python
