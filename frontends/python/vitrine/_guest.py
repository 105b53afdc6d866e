"""Guests, one or several that are asked together."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, Union, overload

from . import _facts, _native
from ._address import Address
from ._errors import Error, NotFoundError, UsageError
from ._object import Object
from ._result import Result, row_class


_sessions: "weakref.WeakSet[_native.Session]" = weakref.WeakSet()
os.register_at_fork(after_in_child=_native.forget_readers)  # a child has none of their threads to wait for


@atexit.register
def _close_all() -> None:
    """Before the interpreter goes: daemon threads may be reading, and must be back in Python by then."""
    for session in list(_sessions):
        with contextlib.suppress(Error):
            session.close()
    deadline = time.monotonic() + 10
    while _native.readers() > 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05 if threading.active_count() > 1 else 0)  # their exceptions are being made


_S = TypeVar("_S", bound="_Session")


class _Session:
    """What one guest and several have in common."""

    def __init__(self, session: _native.Session) -> None:
        self._session = session

    def query(self, sql: str, parameters: Sequence[Any] = (), *, time: float | None = None, rows: int | None = None,
              memory: int | None = None) -> Result:
        """The answer to one SELECT statement; parameters are the values of ?1, ?2, ...: None, int, float, str, bytes, Object.

        Limits: time in seconds (60), rows of the answer (10,000,000), memory in bytes of what is read to answer, and again of
        the answer itself (512 MiB). LimitError when one is reached.
        """
        if isinstance(parameters, (str, bytes, Mapping)):
            raise UsageError("the parameters are a list of values, also when there is one", code="usage")
        values = [value.value_ if isinstance(value, Object) else value for value in parameters]
        answer, told = self._session.query(sql, values, time, rows, memory, row_class)
        return Result(answer, told)

    def tables(self) -> list[str]:
        """The names of all tables."""
        return [table.name for table in _facts.schema()]

    @overload
    def schema(self) -> tuple[_facts.TableInfo, ...]: ...
    @overload
    def schema(self, table: str) -> _facts.TableInfo: ...
    def schema(self, table: str | None = None) -> tuple[_facts.TableInfo, ...] | _facts.TableInfo:
        """One table with its columns, or all of them."""
        if table is None:
            return _facts.schema()
        for known in _facts.schema():
            if known.name == table:
                return known
        raise NotFoundError(f"there is no table {table!r}", code="not_found")

    @contextlib.contextmanager
    def paused(self: _S) -> Iterator[_S]:
        """Inside, the guests stand still: what is read is of one moment. Images do anyway. Nests."""
        self._session.pause()
        try:
            yield self
        finally:
            if not self._session.is_closed:
                self._session.resume()

    def interrupt(self) -> None:
        """From any thread: the query that runs ends with CancelledError."""
        self._session.interrupt()

    def close(self) -> None:
        """Lets go of the guests; a query that runs is ended. ClosedError afterwards, of objects too; rows are kept."""
        self._session.close()

    def __enter__(self: _S) -> _S:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Looks:
    """What is particular to one guest."""

    _session: _native.Session

    def __init__(self, session: _native.Session, number: int) -> None:
        self._session, self._number = session, number
        self.kernel = _facts.Kernel(**_native.kernel(session, number))
        self.symbols = _facts.Symbols(session, number)

    @property
    def name(self) -> str:
        """What the column vm calls it."""
        return self._session.names[self._number]

    @property
    def target(self) -> str:
        """As it was opened."""
        return self._session.targets[self._number]

    def verify(self) -> None:
        """StaleError unless it still is the guest that was opened. Objects do not look; query() does, by itself."""
        _native.verify(self._session, self._number)

    def object(self, type: str, address: int) -> Object:  # pylint: disable=redefined-builtin
        """The object of a C type ("task_struct", "struct sock") at an address of the kernel's."""
        return Object(_native.object(self._session, self._number, type, Address(address)))

    def variable(self, symbol: str, type: str) -> Object:  # pylint: disable=redefined-builtin
        """A variable of the kernel: where its symbol points, with a type."""
        return Object(_native.variable(self._session, self._number, symbol, type))

    def read(self, address: int, size: int, *, physical: bool = False) -> bytes:
        """Bytes at an address of the kernel's (or of the guest's RAM): all of them, or FaultError."""
        return _native.read(self._session, self._number, Address(address), size, physical)

    def identify(self, address: int, *, physical: bool = False) -> list[_facts.Fact]:
        """What lives at an address: its symbol, module, task, page, ..."""
        return [_facts.Fact(*fact) for fact in
                _native.identify(self._session, self._number, Address(address), physical)]

    def __repr__(self) -> str:
        return f"<{self.target}: {self.kernel.os} {self.kernel.release}>"


class Member(_Looks):
    """One of several guests; the queries are those of Guests."""


class Guest(_Looks, _Session):
    """A guest."""

    def __init__(self, session: _native.Session) -> None:
        _Session.__init__(self, session)
        _Looks.__init__(self, session, 0)


class Guests(_Session):
    """Several guests, whose tables are one: the hidden column vm tells their rows apart. guests["web1"] is one of them."""

    def __init__(self, session: _native.Session) -> None:
        super().__init__(session)
        self._members = {name: Member(session, number) for number, name in enumerate(session.names)}

    def __getitem__(self, name: str) -> Member:
        return self._members[name]

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        return f"<Guests: {', '.join(self._members)}>"


_Target = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]


@overload
def open(target: _Target, *, qmp: bool = ..., registers: bool = ..., cache: bool = ..., cache_dir: _Target | None = ...,
         symbols: _Target | None = ...) -> Guest: ...
@overload
def open(target: list[_Target] | tuple[_Target, ...], *, qmp: bool = ..., registers: bool = ..., cache: bool = ...,
         cache_dir: _Target | None = ..., symbols: _Target | None = ...) -> Guests: ...
def open(target: _Target | Iterable[_Target], *, qmp: bool = True,  # pylint: disable=redefined-builtin
         registers: bool = True, cache: bool = True, cache_dir: _Target | None = None,
         symbols: _Target | None = None) -> Guest | Guests:
    """Attaches to a guest, or to several.

    target: "qemu:NAME", "qemu:PID", "qmp:SOCKET", "kvm:PID", the path of an image or a recording; or a list of those.
    qmp=False connects to no monitor socket; registers=False reads no vCPU's registers, and runs nothing in the monitor's process.
    cache, cache_dir: of what is known of kernels seen before. symbols: a vmlinux whose types are used instead of the guest's.
    """
    one = isinstance(target, (str, bytes, os.PathLike))
    targets = [os.fsencode(target)] if isinstance(target, (str, bytes, os.PathLike)) else [os.fsencode(each) for each in target]
    session = _native.open(targets, qmp, registers, cache, b"" if cache_dir is None else os.fsencode(cache_dir),
                           None if symbols is None else os.fsencode(symbols))
    _sessions.add(session)
    return Guest(session) if one else Guests(session)
