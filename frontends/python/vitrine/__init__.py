"""Vitrine: looks into running virtual machines, and into images of their memory, from outside.

    import vitrine

    with vitrine.open("qemu:web1") as guest:
        for row in guest.query("SELECT pid, name FROM processes WHERE uid = ?1", [0]):
            print(row.pid, row["name"])
        print(guest.object("task_struct", row.task).comm)

open() gives a Guest, or Guests where a list of targets is given. Whatever fails raises vitrine.Error or a subclass of it.
"""

from . import _native
from ._address import Address
from ._errors import (CancelledError, ClosedError, Error, FaultError, InconsistentError, LimitError, NotFoundError,
                      PermissionDeniedError, StaleError, UnsupportedError, UsageError)
from ._facts import ColumnInfo, Fact, Kernel, Machine, Nearest, Symbols, TableInfo, machines
from ._guest import Guest, Guests, Member, open  # pylint: disable=redefined-builtin
from ._object import Object
from ._result import Column, Diagnostic, Reading, Result, Row

__version__ = _native.version

__all__ = ["Address", "CancelledError", "ClosedError", "Column", "ColumnInfo", "Diagnostic", "Error", "Fact", "FaultError",
           "Guest", "Guests", "InconsistentError", "Kernel", "LimitError", "Machine", "Member", "Nearest", "NotFoundError",
           "Object", "PermissionDeniedError", "Reading", "Result", "Row", "StaleError", "Symbols", "TableInfo",
           "UnsupportedError", "UsageError", "machines", "open"]
