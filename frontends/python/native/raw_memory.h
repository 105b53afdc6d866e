// Bytes of a guest at an address, and what lives there.
#pragma once

#include <pybind11/pybind11.h>

namespace vitrine::python {

void register_raw_memory(pybind11::module_& module);  // read(), identify()

}  // namespace vitrine::python
