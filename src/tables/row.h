// Helpers for table generators.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vitrine/base/address.h"
#include "vitrine/query/table.h"

namespace vitrine::tables {

template <class T>
Value integer(const std::optional<T>& value) {
    return value ? Value(static_cast<std::int64_t>(*value)) : Value();
}
inline Value address(std::uint64_t value) { return AddressValue{value}; }
inline Value address(Gva value) { return AddressValue{value.value}; }

}  // namespace vitrine::tables
