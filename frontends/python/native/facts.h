// What is known of the kernel, its symbols, the tables and the machines of this host.
#pragma once

#include <pybind11/pybind11.h>

namespace vitrine::python {

void register_facts(pybind11::module_& module);

}  // namespace vitrine::python
