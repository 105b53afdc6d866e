"""What is raised: Error, and a subclass where a program may want to tell the cases apart."""

from __future__ import annotations

from ._address import Address


class Error(Exception):
    """Something could not be read, found or done.

    code: "fault", "not_found", "stale", ... (Errc in result.h); origin: the layer it comes from; reason: what happened, one line; address: of the
    guest, where there is one; hint: what to do next, or None.
    """

    def __init__(self, reason: str, code: str = "io", origin: str = "user", address: Address | None = None,
                 hint: str | None = None):
        super().__init__(reason)
        self.reason, self.code, self.origin, self.address, self.hint = reason, code, origin, address, hint

    def __str__(self) -> str:
        return f"{self.reason} ({self.hint})" if self.hint else self.reason

    def __reduce__(self):
        return type(self), (self.reason, self.code, self.origin, self.address, self.hint)


class FaultError(Error):
    """There is nothing at this address, or no page of the guest's."""


class LimitError(Error):
    """A limit was reached: time, rows, memory."""


class StaleError(Error):
    """The guest ended, rebooted, or is not what it was: open it anew."""


class UsageError(Error, ValueError):
    """The request makes no sense: SQL with an error in it, a member of a number."""


class NotFoundError(Error, LookupError):
    """There is no such machine, symbol, type or member."""


class UnsupportedError(Error):
    """Understood, and not possible with this kind of guest or from here."""


class PermissionDeniedError(Error):
    """The host's operating system wants a privilege."""


class CancelledError(Error):
    """interrupt() was called."""


_CLASSES = {"fault": FaultError, "not_present": FaultError, "not_recorded": FaultError, "limit": LimitError,
            "stale": StaleError, "usage": UsageError, "not_found": NotFoundError, "unsupported": UnsupportedError,
            "permission": PermissionDeniedError, "cancelled": CancelledError}


def make(code: str, origin: str, address: Address | None, reason: str, hint: str) -> Error:
    """The exception of an error of the library."""
    return _CLASSES.get(code, Error)(reason, code, origin, address, hint or None)
