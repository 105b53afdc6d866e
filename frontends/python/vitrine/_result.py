"""The answer to a query: rows, and how they came to be."""

from __future__ import annotations

import datetime
import functools
import operator
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, overload

from ._address import Address


class Column(NamedTuple):
    """One column of an answer."""

    name: str
    type: str  # integer, address, real, text, boolean
    unit: str | None  # bytes, pages, seconds, ...
    table: str | None  # where it comes from unchanged


class Row(tuple[Any, ...]):
    """One row: a tuple whose values also have the names of the columns, row.pid and row["pid"].

    Of two columns of one name the first is meant.
    """

    __slots__ = ()
    _fields: tuple[str, ...] = ()
    _numbers: dict[str, int] = {}

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            try:
                key = self._numbers[key]
            except KeyError:
                raise KeyError(f"no column {key!r}; there are {', '.join(self._fields)}") from None
        return tuple.__getitem__(self, key)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no column {name!r}; there are {', '.join(self._fields)}")

    def keys(self) -> tuple[str, ...]:
        """The names of the columns, so that dict(row) works; of a row with a column "keys" it is that one's value."""
        return self._fields

    def _asdict(self) -> dict[str, Any]:
        """Names and values."""
        return {name: tuple.__getitem__(self, number) for name, number in self._numbers.items()}

    def __repr__(self) -> str:
        return f"Row({', '.join(f'{name}={value!r}' for name, value in zip(self._fields, self))})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _row, (self._fields, tuple(self))


@functools.lru_cache(maxsize=256)
def _row_class(names: tuple[str, ...]) -> type[Row]:
    numbers = {name: number for number, name in reversed(list(enumerate(names)))}
    members: dict[str, Any] = {name: property(operator.itemgetter(number)) for name, number in numbers.items()
                               if name.isidentifier() and not name.startswith("_")}
    members.update(__slots__=(), _fields=names, _numbers={name: numbers[name] for name in names})
    return type("Row", (Row,), members)


def _row(names: tuple[str, ...], values: tuple[Any, ...]) -> Row:
    return _row_class(names)(values)


def row_class(columns: Sequence[tuple[Any, ...]]) -> type[Row]:
    """What the rows of an answer with these columns are of."""
    return _row_class(tuple(column[0] for column in columns))


class Diagnostic(NamedTuple):
    """Something that could not be read, or was odd."""

    severity: str  # info, warning, error
    table: str
    reason: str
    address: Address | None
    vm: str | None  # which guest, where several are asked


class Reading(NamedTuple):
    """One table of one guest as a statement read it."""

    vm: str
    table: str
    rows: int
    times: int  # how often it was read: as a whole, or for a key
    took: float  # seconds
    when: datetime.datetime  # of the first time, UTC
    end: str  # how its last walk ended: complete, stopped, cycle, budget, fault, inconsistent
    retries: int  # walks begun anew because the running guest tore them
    failure: str | None  # why there are no rows at all


class Result(Sequence[Row]):
    """The rows of an answer, a sequence of Row, and what is to be said of them."""

    def __init__(self, rows: list[Row], told: dict[str, Any]) -> None:
        self.rows = rows
        self.columns = tuple(Column(*column) for column in told["columns"])
        self.complete: bool = told["complete"]  # every table was read whole, and nothing was in doubt
        self.diagnostics = tuple(Diagnostic(*diagnostic) for diagnostic in told["diagnostics"])
        self.diagnostic_count: int = told["diagnostic_count"]  # also those that are too many to keep
        self.readings = tuple(_reading(*reading) for reading in told["readings"])
        self.took: float = told["took"]  # seconds
        self.method: str = told["method"]  # how the guests were read: mapped, copied, image
        self.one_moment: bool = told["one_moment"]  # tables fit each other

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        return self.rows[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def dicts(self) -> list[dict[str, Any]]:
        """The rows as dictionaries: pandas.DataFrame(result.dicts()), json."""
        return [row._asdict() for row in self.rows]

    def __repr__(self) -> str:
        names = ", ".join(column.name for column in self.columns)
        return f"<Result of {len(self.rows)} rows ({names}), {'complete' if self.complete else 'may be incomplete'}>"


def _reading(vm: str, table: str, rows: int, times: int, took: float, when: float, end: str, retries: int,
             failure: str | None) -> Reading:
    moment = datetime.datetime.fromtimestamp(when, datetime.timezone.utc)
    return Reading(vm, table, rows, times, took, moment, end, retries, failure)
