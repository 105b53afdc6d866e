#include "raw_memory.h"

#include <string>
#include <vector>

#include "failure.h"
#include "session.h"
#include "vitrine/guest/identify.h"

namespace vitrine::python {
namespace {

constexpr std::uint64_t kMostBytes = 64ull << 20;

py::bytes read(Session& session, std::size_t member, std::uint64_t address, std::uint64_t size, bool is_physical) {
    if (size > kMostBytes) {
        throw Failure(Error::with_text(Errc::limit, Origin::user, "more than 64 MiB at once", "read it in pieces"));
    }
    std::string bytes(size, '\0');
    {
        const Session::Use use(session);
        const Guest& guest = session.fresh_guest(member);
        PhysicalMemory& memory = guest.machine().memory();
        const auto out = std::as_writable_bytes(std::span(bytes));
        check(is_physical ? memory.read(Gpa{address}, out) : guest.space().read(Gva{address}, out));
    }
    return bytes;
}

py::list identify_at(Session& session, std::size_t member, std::uint64_t address, bool is_physical) {
    std::vector<AddressFact> facts;
    {
        const Session::Use use(session);
        LinuxGuest* guest = session.fresh_guest(member).as_linux();
        if (guest == nullptr) {
            throw Failure(Error::with_text(Errc::unsupported, Origin::user, "only of Linux guests is that known"));
        }
        facts = value_of(is_physical ? identify(*guest, Gpa{address}) : identify(*guest, Gva{address}));
    }
    py::list all;
    for (const AddressFact& fact : facts) {
        all.append(py::make_tuple(to_text(fact.what), to_text(fact.detail), fact.unknown));
    }
    return all;
}

}  // namespace

void register_raw_memory(py::module_& module) {
    module.def("read", &read);
    module.def("identify", &identify_at);
}

}  // namespace vitrine::python
