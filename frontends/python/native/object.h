// Typed objects of a guest. Each look goes through the session, so that it sees the guest as it is now and several threads do not meet.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>

namespace vitrine::python {

void register_objects(pybind11::module_& module);  // class Object, functions object() and variable()

}  // namespace vitrine::python
