#include "facts.h"

#include <pybind11/stl.h>

#include <memory>

#include "failure.h"
#include "session.h"
#include "vitrine/machine/machine.h"

namespace vitrine::python {
namespace {

using namespace pybind11::literals;

py::dict kernel(Session& session, std::size_t member) {
    KernelInfo info;
    {
        const Session::Use use(session);
        info = session.members().at(member).guest->kernel();
    }
    py::list steps;
    for (const AttachStep& step : info.steps) {
        steps.append(py::make_tuple(to_text(step.name), seconds(step.took), to_text(step.outcome)));
    }
    return py::dict("os"_a = to_text(info.os), "release"_a = to_text(info.release), "banner"_a = to_text(info.banner),
                    "build_id"_a = to_text_or_none(info.build_id), "text"_a = to_address(info.text_va.value),
                    "text_physical"_a = to_address(info.text_pa.value), "kaslr_slide"_a = info.kaslr_slide,
                    "paging"_a = to_text(to_string(info.paging)), "page_table_isolation"_a = info.page_table_isolation,
                    "page_table"_a = to_address(info.root.value), "found_by"_a = to_text(to_string(info.route)),
                    "from_cache"_a = info.from_cache, "symbols_from"_a = to_text(info.symbols_from),
                    "types_from"_a = to_text(info.types_from), "memory_layout"_a = to_text(info.memory_layout),
                    "steps"_a = py::tuple(steps), "checks"_a = text_tuple(info.checks),
                    "rejected"_a = text_tuple(info.rejected));
}

// The guest's symbols, with the guest for oneself.
template <class Ask>
auto ask_symbols(Session& session, std::size_t member, Ask&& ask) {
    const Session::Use use(session);
    const SymbolTable* table = value_of(session.fresh_guest(member).symbols());
    return ask(*table);
}

py::object address_of(Session& session, std::size_t member, const py::str& name) {
    const std::string wanted = to_bytes(name);
    const Result<Symbol> found = ask_symbols(session, member,
                                             [&](const SymbolTable& table) { return table.by_name(wanted); });
    return to_address(value_of(found).address.value);
}

py::object nearest(Session& session, std::size_t member, std::uint64_t address) {
    struct Copy {
        std::string name, module;
        std::uint64_t address = 0, offset = 0;
    };
    const std::optional<Copy> found = ask_symbols(session, member, [&](const SymbolTable& table) {
        const auto near = table.nearest(Gva{address});
        if (!near) return std::optional<Copy>();
        return std::optional<Copy>(Copy{std::string(near->symbol.name), std::string(near->symbol.module),
                                        near->symbol.address.value, near->offset});
    });
    if (!found) return py::none();
    return py::make_tuple(to_text(found->name), found->offset, to_address(found->address),
                          to_text_or_none(found->module));
}

std::size_t symbol_count(Session& session, std::size_t member) {
    return ask_symbols(session, member, [](const SymbolTable& table) { return table.size(); });
}

py::list schema() {
    py::list tables;
    for (const Table* table : all_tables()) {
        py::list columns;
        for (const Column& column : table->spec.columns) {
            columns.append(py::make_tuple(to_text(column.name), to_text(to_string(column.type)), to_text(column.doc),
                                          to_text_or_none(to_string(column.unit)), column.role == ColumnRole::index));
        }
        tables.append(py::make_tuple(to_text(table->spec.name), to_text(table->spec.summary), columns));
    }
    return tables;
}

py::list machines() {
    std::vector<MachineListing> found;
    {
        const WithoutInterpreter without_interpreter;
        found = value_of(list_machines());
    }
    py::list all;
    for (const MachineListing& machine : found) {
        all.append(py::make_tuple(to_text(machine.target), to_text(machine.name), machine.pid, to_text(machine.kind),
                                  to_text_or_none(machine.accelerator),
                                  machine.memory_bytes != 0 ? py::object(py::int_(machine.memory_bytes)) : py::none(),
                                  machine.vcpus != 0 ? py::object(py::int_(machine.vcpus)) : py::none(),
                                  to_text_or_none(machine.backend), to_text(machine.state),
                                  to_text_or_none(machine.hint)));
    }
    return all;
}

void verify(Session& session, std::size_t member) {
    const Session::Use use(session);
    check(session.members().at(member).guest->verify());
}

}  // namespace

void register_facts(py::module_& module) {
    module.def("kernel", &kernel);
    module.def("address_of", &address_of);
    module.def("nearest", &nearest);
    module.def("symbol_count", &symbol_count);
    module.def("schema", &schema);
    module.def("machines", &machines);
    module.def("verify", &verify);
}

}  // namespace vitrine::python
