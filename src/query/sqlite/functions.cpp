#include "query/sqlite/functions.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <optional>
#include <string>

#include "vitrine/guest/guest.h"

namespace vitrine {
namespace {

constexpr auto kFunctions = std::to_array<FunctionSpec>({
    {"addr", "X", "of a text \"0x...\" the integer it stands for; of an integer the text \"0x...\"; else NULL"},
    {"addr_lt", "A, B", "1 if A < B, 0 if not, both taken as unsigned 64-bit integers (SQLite's < is signed)"},
    {"sym", "ADDRESS [, VM]", "the kernel symbol the address lies in, \"name+0x10\"; NULL if none; VM: of which guest"},
});

}  // namespace

std::span<const FunctionSpec> sql_functions() { return kFunctions; }

namespace sql {
namespace {

std::string_view text_of(sqlite3_value* value) {
    const auto* text = reinterpret_cast<const char*>(sqlite3_value_text(value));
    return text == nullptr ? std::string_view()
                           : std::string_view(text, static_cast<std::size_t>(sqlite3_value_bytes(value)));
}

std::optional<std::uint64_t> parse_address(std::string_view text) {
    if (!text.starts_with("0x") && !text.starts_with("0X")) return std::nullopt;
    text.remove_prefix(2);
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, 16);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

std::optional<std::uint64_t> to_address(sqlite3_value* value) {
    switch (sqlite3_value_type(value)) {
        case SQLITE_INTEGER: return static_cast<std::uint64_t>(sqlite3_value_int64(value));
        case SQLITE_TEXT: return parse_address(text_of(value));
        default: return std::nullopt;
    }
}

void give(sqlite3_context* context, const std::string& text) {
    sqlite3_result_text64(context, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

void addr(sqlite3_context* context, int, sqlite3_value** arguments) {
    const auto address = to_address(arguments[0]);
    if (!address) return sqlite3_result_null(context);
    if (sqlite3_value_type(arguments[0]) == SQLITE_INTEGER) return give(context, fmt::format("{:#x}", *address));
    sqlite3_result_int64(context, static_cast<sqlite3_int64>(*address));
}

void addr_lt(sqlite3_context* context, int, sqlite3_value** arguments) {
    const auto a = to_address(arguments[0]);
    const auto b = to_address(arguments[1]);
    if (!a || !b) return sqlite3_result_null(context);
    sqlite3_result_int(context, *a < *b ? 1 : 0);
}

Guest* guest_named(const ModuleState& state, std::string_view name) {
    for (const NamedGuest& guest : state.guests) {
        if (guest.name == name) return &guest.guest;
    }
    return nullptr;
}

void sym(sqlite3_context* context, int count, sqlite3_value** arguments) {
    const auto& state = *static_cast<const ModuleState*>(sqlite3_user_data(context));
    if (count < 1 || count > 2) return sqlite3_result_error(context, "sym() takes an address, and a vm", -1);
    const auto address = to_address(arguments[0]);
    if (!address || state.guests.empty()) return sqlite3_result_null(context);
    if (count == 1 && state.guests.size() > 1) {
        return sqlite3_result_error(context, "sym(ADDRESS, VM): there are several guests, so it must be told which",
                                    -1);
    }
    Guest* guest = count == 1 ? &state.guests[0].guest : guest_named(state, text_of(arguments[1]));
    if (guest == nullptr) return sqlite3_result_null(context);
    const auto symbols = guest->symbols();
    if (!symbols) return sqlite3_result_error(context, symbols.error().to_string().c_str(), -1);
    const auto nearest = (*symbols)->nearest(Gva{*address});
    if (!nearest) return sqlite3_result_null(context);
    // Beyond that it is not in the symbol that happens to come before it: no function or object of a kernel is larger.
    constexpr std::uint64_t kFar = 16u << 20;
    if (nearest->offset >= kFar) return sqlite3_result_null(context);
    std::string text(nearest->symbol.name);
    if (nearest->offset != 0) text += fmt::format("+{:#x}", nearest->offset);
    if (!nearest->symbol.module.empty()) text += fmt::format(" [{}]", nearest->symbol.module);
    give(context, text);
}

}  // namespace

int register_functions(sqlite3* database, ModuleState& state) {
    constexpr int kPure = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
    constexpr int kAny = -1;
    int code = sqlite3_create_function_v2(database, "addr", 1, kPure, nullptr, addr, nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) return code;
    code = sqlite3_create_function_v2(database, "addr_lt", 2, kPure, nullptr, addr_lt, nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) return code;
    return sqlite3_create_function_v2(database, "sym", kAny, SQLITE_UTF8 | SQLITE_INNOCUOUS, &state, sym, nullptr,
                                      nullptr, nullptr);
}

}  // namespace sql
}  // namespace vitrine
