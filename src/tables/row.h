// Helpers for table generators.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vitrine/base/address.h"
#include "vitrine/guest/linux_guest.h"
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

// Of a row that is used for one thing after the other: the memory of the text before serves again.
inline void set_text(Value& to, std::string_view text) {
    if (auto* before = std::get_if<std::string>(&to)) before->assign(text);
    else to.emplace<std::string>(text);
}

// Makes a Generator's function of one for Linux guests.
template <Result<WalkReport> (*generate)(LinuxGuest&, QueryContext&, RowSink&)>
Result<WalkReport> on_linux(Guest& guest, QueryContext& context, RowSink& sink) {
    LinuxGuest* linux_guest = guest.as_linux();
    if (linux_guest == nullptr) return Error::make(Errc::unsupported, Origin::table, "not a Linux guest");
    return generate(*linux_guest, context, sink);
}

}  // namespace vitrine::tables
