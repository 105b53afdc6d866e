#include "object.h"

#include <algorithm>

#include "failure.h"
#include "list_entries.h"
#include "session.h"
#include "vitrine/base/function_ref.h"
#include "vitrine/types/object_text.h"

namespace vitrine::python {
namespace {

constexpr std::size_t kMostBytes = Object::kMaxSnapshot;
constexpr unsigned kMostRetries = 8;
constexpr unsigned kMostAnonymous = 32;  // structures inside each other without a name

// As vitrine._native.Object has it; vitrine/_object.py is what people see.
class NativeObject {
public:
    NativeObject(std::shared_ptr<Session> session, std::size_t member, Object object)
        : session_(std::move(session)), member_(member), object_(std::move(object)) {}

    // What `ask` gives for the object, asked with the guest for oneself and the interpreter free.
    template <class Ask>
    auto look(Ask&& ask) const {
        const Session::Use use(*session_);
        session_->fresh_guest(member_);
        return value_of(ask(object_));
    }
    template <class Ask>
    NativeObject other(Ask&& ask) const {
        return {session_, member_, look(std::forward<Ask>(ask))};
    }

    [[nodiscard]] NativeObject member(const py::str& path) const {
        return other([name = to_bytes(path)](const Object& object) { return object.member(name); });
    }
    [[nodiscard]] NativeObject at(std::uint64_t index) const {
        return other([index](const Object& object) { return object.at(index); });
    }
    [[nodiscard]] NativeObject deref() const {
        return other([](const Object& object) { return object.deref(); });
    }
    [[nodiscard]] NativeObject address_of() const {
        return other([](const Object& object) { return object.address_of(); });
    }
    [[nodiscard]] NativeObject container_of(const py::str& type, const py::str& path) const {
        return other([type = to_bytes(type), path = to_bytes(path)](const Object& object) {
            return object.container_of(type, path);
        });
    }
    [[nodiscard]] NativeObject cast(const py::str& type) const {
        return other([type = to_bytes(type)](const Object& object) { return object.cast(type); });
    }
    [[nodiscard]] NativeObject snapshot() const {
        return other([](const Object& object) { return object.snapshot(); });
    }

    [[nodiscard]] py::list entries(const py::str& type, const py::str& path, std::size_t most) const;

    [[nodiscard]] py::object integer() const;
    [[nodiscard]] double real() const {
        return look([](const Object& object) { return object.as_real(); });
    }
    [[nodiscard]] py::object enumerator() const {
        using Name = std::optional<std::string>;
        const Name name = look([](const Object& object) -> Result<Name> {
            const auto found = VITRINE_TRY(object.as_enumerator());
            return found ? Name(*found) : std::nullopt;
        });
        return name ? py::object(to_text(*name)) : py::none();
    }
    // (text, was it cut?)
    [[nodiscard]] py::tuple text(std::size_t max) const {
        const std::size_t most = std::min(max, kMostBytes);
        const GuestString found = look([most](const Object& object) { return object.as_string(most); });
        return py::make_tuple(to_text(found.bytes), found.truncated);
    }
    [[nodiscard]] py::bytes bytes() const;
    [[nodiscard]] py::str description() const {
        return to_text(look([](const Object& object) -> Result<std::string> { return object_text(object, {}); }));
    }

    // (kind, type, size or None, address or None, elements of an array or None, bits of a bit-field or 0, is it a C boolean?)
    [[nodiscard]] py::tuple facts() const;
    [[nodiscard]] py::list member_names() const;

private:
    std::shared_ptr<Session> session_;
    std::size_t member_;
    Object object_;
};

// A list that a running guest tore is looked at again.
py::list NativeObject::entries(const py::str& type, const py::str& path, std::size_t most) const {
    const std::string type_name = to_bytes(type), member_path = to_bytes(path);
    const std::vector<Object> found = look([&](const Object& head) {
        WalkBudget budget;
        budget.nodes = most;
        const Guest& guest = session_->fresh_guest(member_);
        const auto walk = [&] { return list_entries(guest.space(), head, type_name, member_path, budget); };
        const auto is_torn = [](const Error& error) {
            return error.code == Errc::inconsistent || error.code == Errc::cycle || error.code == Errc::fault ||
                   error.code == Errc::not_present;
        };
        auto walked = walk();
        for (unsigned i = 0; i < kMostRetries && !walked && is_torn(walked.error()) && guest.machine().is_live(); ++i) {
            session_->fresh_guest(member_);
            walked = walk();
        }
        return walked;
    });
    py::list all;
    for (const Object& entry : found) all.append(NativeObject(session_, member_, entry));
    return all;
}

py::object NativeObject::integer() const {
    struct Number {
        std::uint64_t bits = 0;
        bool is_negative = false;
    };
    const Number number = look([](const Object& object) -> Result<Number> {
        const auto as_signed = object.as_signed();
        if (as_signed) return Number{static_cast<std::uint64_t>(*as_signed), *as_signed < 0};
        if (as_signed.error().code != Errc::out_of_range) return as_signed.error();
        return Number{VITRINE_TRY(object.as_unsigned()), false};  // too large for a signed number
    });
    if (number.is_negative) return py::int_(static_cast<std::int64_t>(number.bits));
    return py::int_(number.bits);
}

py::bytes NativeObject::bytes() const {
    const std::string copy = look([](const Object& object) -> Result<std::string> {
        const auto size = object.size();
        if (!size) return Error::with_text(Errc::usage, Origin::user, "a type without a size has no bytes");
        if (*size > kMostBytes) return Error::with_text(Errc::limit, Origin::user, "the object is larger than 1 MiB");
        std::string out(*size, '\0');
        VITRINE_CHECK(object.read(std::as_writable_bytes(std::span(out))));
        return out;
    });
    return copy;
}

const Type* stripped(const Object& object) {
    const TypeCatalog* catalog = object.catalog();
    return catalog == nullptr || object.indirections() > 0 ? nullptr : catalog->type(catalog->strip(object.type()));
}

py::tuple NativeObject::facts() const {
    struct Facts {
        std::string kind, type;
        std::optional<std::uint64_t> size, count;
        std::optional<Gva> address;
        std::uint32_t bits = 0;
        bool is_boolean = false;
    };
    const Facts facts = look([](const Object& object) -> Result<Facts> {
        Facts of{std::string(to_string(object.kind())),
                 object.type_name(),
                 object.size(),
                 {},
                 object.address(),
                 object.bit_size(),
                 false};
        if (const Type* type = stripped(object); type != nullptr) {
            if (type->kind == TypeKind::array) of.count = type->count;
            const std::string_view name = object.catalog()->name(type->name);
            of.is_boolean = type->kind == TypeKind::integer && (name == "_Bool" || name == "bool");
        }
        return of;
    });
    const auto number = [](const auto& maybe) { return maybe ? py::object(py::int_(*maybe)) : py::none(); };
    return py::make_tuple(to_text(facts.kind), to_text(facts.type), number(facts.size),
                          facts.address ? to_address(facts.address->value) : py::none(), number(facts.count),
                          facts.bits, facts.is_boolean);
}

// Those of anonymous structures stand among their parent's. Types are the guest's own: bounded.
void collect_names(const TypeCatalog& catalog, TypeId id, unsigned depth, std::vector<std::string>& names) {
    const Type* type = catalog.type(catalog.strip(id));
    if (type == nullptr || depth > kMostAnonymous) return;
    if (type->kind != TypeKind::structure && type->kind != TypeKind::union_) return;
    for (const Member& member : catalog.members(*type)) {
        if (names.size() >= 65'536) return;
        const std::string_view name = catalog.name(member.name);
        if (name.empty()) collect_names(catalog, member.type, depth + 1, names);
        else names.emplace_back(name);
    }
}

py::list NativeObject::member_names() const {
    const auto names = look([](const Object& object) -> Result<std::vector<std::string>> {
        std::vector<std::string> found;
        const TypeCatalog* catalog = object.catalog();
        if (catalog == nullptr) return found;
        TypeId id = object.type();  // of what a pointer that address_of() made points to, too
        const Type* type = catalog->type(catalog->strip(id));
        if (object.indirections() == 0 && type != nullptr && type->kind == TypeKind::pointer) id = type->target;
        collect_names(*catalog, id, 0, found);
        return found;
    });
    py::list list;
    for (const std::string& name : names) list.append(to_text(name));
    return list;
}

NativeObject object(const std::shared_ptr<Session>& session, std::size_t member, const py::str& type,
                    std::uint64_t address) {
    if (session == nullptr) throw py::type_error("a session is needed");
    const std::string name = to_bytes(type);
    const Session::Use use(*session);
    return {session, member, value_of(session->fresh_guest(member).object(name, Gva{address}))};
}

NativeObject variable(const std::shared_ptr<Session>& session, std::size_t member, const py::str& symbol,
                      const py::str& type) {
    if (session == nullptr) throw py::type_error("a session is needed");
    const std::string name = to_bytes(symbol), type_name = to_bytes(type);
    const Session::Use use(*session);
    return {session, member, value_of(session->fresh_guest(member).variable(name, type_name))};
}

}  // namespace

void register_objects(py::module_& module) {
    py::class_<NativeObject> type(module, "Object");
    refuse_new(type);
    type.def("member", method(&NativeObject::member))
        .def("at", method(&NativeObject::at))
        .def("deref", method(&NativeObject::deref))
        .def("address_of", method(&NativeObject::address_of))
        .def("container_of", method(&NativeObject::container_of))
        .def("cast", method(&NativeObject::cast))
        .def("snapshot", method(&NativeObject::snapshot))
        .def("entries", method(&NativeObject::entries))
        .def("integer", method(&NativeObject::integer))
        .def("real", method(&NativeObject::real))
        .def("enumerator", method(&NativeObject::enumerator))
        .def("text", method(&NativeObject::text))
        .def("bytes", method(&NativeObject::bytes))
        .def("description", method(&NativeObject::description))
        .def("facts", method(&NativeObject::facts))
        .def("member_names", method(&NativeObject::member_names));
    module.def("object", &object);
    module.def("variable", &variable);
}

}  // namespace vitrine::python
