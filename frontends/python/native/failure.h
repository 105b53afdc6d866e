// Errors become exceptions here, and nowhere below: a Failure that leaves a bound function is raised as vitrine.Error or the
// subclass of its code (vitrine/_errors.py).
#pragma once

#include <pybind11/pybind11.h>

#include <exception>
#include <string>
#include <string_view>
#include <utility>

#include "vitrine/base/result.h"

namespace vitrine::python {

class Failure : public std::exception {
public:
    explicit Failure(Error error) : error_(std::move(error)) {}
    [[nodiscard]] const Error& error() const { return error_; }
    [[nodiscard]] const char* what() const noexcept override { return error_.what; }

private:
    Error error_;
};

// The guests were let go of: raised as vitrine.ClosedError.
class Closed final : public Failure {
public:
    Closed() : Failure(Error::with_text(Errc::usage, Origin::user, "the guest is closed", "open it anew")) {}
};

[[nodiscard]] inline Failure usage(std::string text, std::string hint = {}) {
    return Failure(Error::with_text(Errc::usage, Origin::user, std::move(text), std::move(hint)));
}

template <class T>
T value_of(Result<T> result) {
    if (!result) throw Failure(std::move(result).error());
    return std::move(*result);
}
inline void check(const Result<void>& result) {
    if (!result) throw Failure(result.error());
}

// "SUBJECT: what the error says", with the same code, address and hint.
[[nodiscard]] Error about(std::string_view subject, const Error& error);

void register_failures();

}  // namespace vitrine::python
