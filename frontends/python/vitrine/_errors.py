"""What is raised: Error, and a subclass where a program may want to tell the cases apart."""

from __future__ import annotations

from typing import Any

from ._address import Address


class Error(Exception):
    """Something could not be read, found or done.

    code: "fault", "not_found", "stale", ... (Errc in result.h); origin: the layer it comes from; reason: what happened, one line; address: of the
    guest, where there is one; advice: what to do next, or None.
    """

    def __init__(self, reason: str, code: str = "io", origin: str = "user", address: Address | None = None,
                 advice: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.code, self.origin, self.address, self.advice = reason, code, origin, address, advice

    def __str__(self) -> str:
        return f"{self.reason} ({self.advice})" if self.advice else self.reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.code, self.origin, self.address, self.advice)


class FaultError(Error):
    """There is nothing at this address, or no page of the guest's."""


class InconsistentError(Error):
    """What the guest has there contradicts itself: torn while it was read, or tampered with."""


class LimitError(Error):
    """A limit was reached: time, rows, memory."""


class StaleError(Error):
    """The guest ended, rebooted, or is not what it was: open it anew."""


class UsageError(Error, ValueError):
    """The request makes no sense: SQL with an error in it, a member of a number."""


class ClosedError(UsageError):
    """The guest was closed: nothing can be read through it any more."""


class NotFoundError(Error, LookupError):
    """There is no such machine, symbol, type or member."""


class UnsupportedError(Error):
    """Understood, and not possible with this kind of guest or from here."""


class PermissionDeniedError(Error):
    """The host's operating system wants a privilege."""


class CancelledError(Error):
    """interrupt() was called."""


_CLASSES = {"fault": FaultError, "not_present": FaultError, "not_recorded": FaultError, "inconsistent": InconsistentError,
            "cycle": InconsistentError, "malformed": InconsistentError, "limit": LimitError, "stale": StaleError,
            "usage": UsageError, "closed": ClosedError, "not_found": NotFoundError, "unsupported": UnsupportedError,
            "permission": PermissionDeniedError, "cancelled": CancelledError}

# The library advises the program's options.
_OPTIONS = {"--max-rows N": "rows=", "--max-memory MIB": "memory=", "--timeout SECONDS": "time=", "--symbols FILE": "symbols="}


def make(code: str, origin: str, address: Address | None, reason: str, advice: str) -> Error:
    """The exception of an error of the library."""
    for option, argument in _OPTIONS.items():
        advice = advice.replace(option, argument)
    return _CLASSES.get(code, Error)(reason, code, origin, address, advice or None)
