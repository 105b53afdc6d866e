// Helpers for table generators.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vitrine/base/address.h"
#include "vitrine/query/table.h"

namespace vitrine::tables {

// NULL also for what a guest claims and no such column can hold.
template <class T>
Value integer(const std::optional<T>& value) {
    if (!value || !std::in_range<std::int64_t>(*value)) return {};
    return static_cast<std::int64_t>(*value);
}
inline Value address(std::uint64_t value) { return AddressValue{value}; }
inline Value address(Gva value) { return AddressValue{value.value}; }

}  // namespace vitrine::tables
