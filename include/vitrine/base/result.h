// Errors as values. Every fallible function returns Result<T>; discarding one is a compile error.
//
//   Result<std::uint32_t> pid = space.read_value<std::uint32_t>(address);
//   if (!pid) return pid.error();
//   auto tgid = VITRINE_TRY(space.read_value<std::uint32_t>(other));    // returns the error from this function
//
// An Error carries (code, origin, address) plus an optional text and a hint that says what to do next.
// Text is composed when it is shown (to_string), not when the error is made on a hot path.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace vitrine {

// The layer an error came from.
enum class Origin : std::uint8_t { source, translate, types, symbols, guest, table, user };

enum class Errc : std::uint8_t {
    fault,         // the source has no bytes at this address
    not_present,   // a page-table entry on the way is not present
    out_of_range,  // arithmetic left its range, an index is beyond its table
    malformed,     // bytes do not have the structure they must have
    limit,         // a budget (count, size, time) was used up
    cycle,         // a walk came back to where it had been
    inconsistent,  // two facts that must agree do not (torn read, decoy)
    unsupported,   // understood, and not handled
    not_found,     // looked everywhere, nothing there
    ambiguous,     // more than one answer, none preferred
    io,            // the host's operating system refused or failed
    permission,    // the host's operating system wants a privilege
    busy,          // someone else holds it
    timeout,       // no answer in time
    stale,         // the target ended, rebooted, or is not what it was
    usage,         // the caller's request makes no sense
    cancelled,     // the caller changed their mind: interrupted
    not_recorded,  // a recording does not have this page; the guest had it
};

struct ErrorDetail {
    std::string text;  // what happened and where, one line
    std::string hint;  // what to do next, one line; may be empty
};

struct [[nodiscard]] Error {
    Errc code = Errc::io;
    Origin origin = Origin::source;
    bool has_address = false;
    std::uint64_t address = 0;  // guest address that faulted, when has_address
    const char* what = "";      // static string: what was being done
    std::shared_ptr<const ErrorDetail> detail;

    static Error make(Errc code, Origin origin, const char* what) { return Error{code, origin, false, 0, what, {}}; }
    static Error make_at(Errc code, Origin origin, std::uint64_t address, const char* what) {
        return Error{code, origin, true, address, what, {}};
    }
    // For errors that a person reads: full text and, if one is known, the mend.
    static Error with_text(Errc code, Origin origin, std::string text, std::string hint = {}) {
        return Error{code, origin, false,
                     0,    "",     std::make_shared<const ErrorDetail>(ErrorDetail{std::move(text), std::move(hint)})};
    }

    [[nodiscard]] std::string to_string() const;  // one line, without the hint
    [[nodiscard]] std::string_view hint() const { return detail ? std::string_view(detail->hint) : std::string_view(); }
};

[[nodiscard]] std::string_view to_string(Errc);
[[nodiscard]] std::string_view to_string(Origin);

// tl::expected is not [[nodiscard]]; this is.
template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
    using Base = tl::expected<T, Error>;

public:
    using Base::Base;
    Result() = default;
    Result(Error error) : Base(tl::unexpected<Error>(std::move(error))) {}
    Result(tl::unexpected<Error> error) : Base(std::move(error)) {}
};

}  // namespace vitrine

// Evaluates to the value of a Result, or returns its error from the enclosing function.
// A GNU statement expression: not usable across co_await.
#define VITRINE_TRY(...)                                                       \
    __extension__({                                                            \
        auto vitrine_try_result = (__VA_ARGS__);                               \
        if (!vitrine_try_result) return std::move(vitrine_try_result).error(); \
        std::move(*vitrine_try_result);                                        \
    })

// The same for Result<void>.
#define VITRINE_CHECK(...)                                                         \
    do {                                                                           \
        auto vitrine_check_result = (__VA_ARGS__);                                 \
        if (!vitrine_check_result) return std::move(vitrine_check_result).error(); \
    } while (false)
