"""What is known besides tables: the kernel, its symbols, the tables' columns, the machines of this host."""

from __future__ import annotations

from typing import NamedTuple

from . import _native
from ._address import Address
from ._errors import NotFoundError


class Kernel(NamedTuple):
    """The kernel that was found, and how. Its texts are the guest's own."""

    os: str
    release: str
    banner: str
    build_id: str | None
    text: Address
    text_physical: Address
    kaslr_slide: int
    paging: str
    page_table_isolation: bool
    page_table: Address  # physical
    found_by: str
    from_cache: bool
    symbols_from: str
    types_from: str
    memory_layout: str
    steps: tuple[tuple[str, float, str], ...]  # of attaching: (name, seconds, outcome)
    checks: tuple[str, ...]  # that it passed
    rejected: tuple[str, ...]  # what looked like a kernel, and why it was refused


class Nearest(NamedTuple):
    """The symbol an address lies behind."""

    name: str
    offset: int
    address: Address  # of the symbol
    module: str | None  # None: the kernel itself

    def __str__(self) -> str:
        return f"{self.name}+{self.offset:#x}" if self.offset else self.name


class Fact(NamedTuple):
    """One thing that is known of an address."""

    what: str  # symbol, region, module, task, stack, page, slab cache, ...
    detail: str
    is_unknown: bool  # it could not be found out; detail says why


class ColumnInfo(NamedTuple):
    """One column of a table."""

    name: str
    type: str
    doc: str
    unit: str | None
    is_index: bool  # one value costs less than all rows


class TableInfo(NamedTuple):
    """One table."""

    name: str
    summary: str
    columns: tuple[ColumnInfo, ...]


class Machine(NamedTuple):
    """A machine of this host; None is what is not known."""

    target: str  # for open()
    name: str
    pid: int | None
    kind: str
    accelerator: str | None
    memory: int | None  # bytes
    vcpus: int | None
    backend: str | None
    state: str  # accessible, or why not
    hint: str | None


class Symbols:
    """The symbols of a kernel and its modules, decoded from the guest's memory on first use."""

    def __init__(self, session: _native.Session, member: int) -> None:
        self._session, self._member = session, member

    def address_of(self, name: str) -> Address:
        """The address of the kernel's symbol. Error with code "not_found" or "ambiguous"."""
        return _native.address_of(self._session, self._member, name)

    def nearest(self, address: int) -> Nearest | None:
        """The last symbol at or below an address."""
        found = _native.nearest(self._session, self._member, Address(address))
        return None if found is None else Nearest(*found)

    def __contains__(self, name: str) -> bool:
        try:
            self.address_of(name)
        except NotFoundError:
            return False
        return True

    def __len__(self) -> int:
        return _native.symbol_count(self._session, self._member)


def schema() -> tuple[TableInfo, ...]:
    """All tables."""
    return tuple(TableInfo(name, summary, tuple(ColumnInfo(*column) for column in columns))
                 for name, summary, columns in _native.schema())


def machines() -> list[Machine]:
    """The machines of this host that may be looked into; nothing is connected to."""
    return [Machine(*machine) for machine in _native.machines()]
