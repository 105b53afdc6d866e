"""Typed objects of a guest, as a debugger has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import _native
from ._address import Address
from ._errors import ClosedError, Error, UsageError

_NUMBERS = ("integer", "enumeration", "pointer")


class Object:
    """A guest's object with its C type.

        task = guest.object("task_struct", address)
        task.comm, task["comm"], task.member_("mm.exe_file.f_path")      # members; pointers are followed
        int(task.pid), str(task.comm), task.cpus_mask.bits[0]
        task.parent.comm, task.parent.deref_().size_

    Members are attributes; what the object itself can do ends in an underscore. Each look reads the guest anew: snapshot_() reads
    once and answers from the copy. Numbers, pointers and texts compare with those of Python.
    """

    __slots__ = ("_native",)
    __hash__ = None  # type: ignore[assignment]  # what it is may change

    def __init__(self, native: "_native.Object"):
        self._native = native

    def member_(self, path: str) -> "Object":
        """By path: "mm.pgd", "se.load.weight", "mem[1].base". NotFoundError names the part that is missing."""
        return Object(self._native.member(path))

    def __getattr__(self, name: str) -> "Object":
        if name.startswith("__") and name.endswith("__"):  # asked for by Python itself
            raise AttributeError(name)
        try:
            return self.member_(name)
        except ClosedError:
            raise
        except (UsageError, LookupError) as error:
            raise AttributeError(str(error)) from error

    def __getitem__(self, key: int | str) -> "Object":
        """Of a str the member, of a number the element of an array or of what a pointer points to."""
        if isinstance(key, str):
            return self.member_(key)
        count = self._native.facts()[4]
        index = int(key) + (count or 0) if int(key) < 0 else int(key)
        if index < 0 or (count and index >= count):  # a flexible array has none
            raise IndexError(f"{self.type_} has {count or 0} elements")
        return Object(self._native.at(index))

    def deref_(self) -> "Object":
        """What a pointer leads to; NotFoundError when it is NULL."""
        return Object(self._native.deref())

    def address_of_(self) -> "Object":
        """The pointer to this object."""
        return Object(self._native.address_of())

    def container_of_(self, type: str, member: str) -> "Object":  # pylint: disable=redefined-builtin
        """The structure that this object, or what this pointer points to, is the member of."""
        return Object(self._native.container_of(type, member))

    def list_(self, type: str, member: str, *, most: int = 1 << 20) -> list["Object"]:  # pylint: disable=redefined-builtin
        """The structures on the list that begins here: init.children.list_("task_struct", "sibling").

        Here is a list_head or an hlist_head, or a pointer to one. All of them, or InconsistentError, FaultError, LimitError: what a running guest
        tore is looked at again a few times.
        """
        return [Object(native) for native in self._native.entries(type, member, most)]

    def cast_(self, type: str) -> "Object":  # pylint: disable=redefined-builtin
        """As another type: "struct sock", "u32", "struct page *"."""
        return Object(self._native.cast(type))

    def snapshot_(self) -> "Object":
        """A copy, read in one go."""
        return Object(self._native.snapshot())

    @property
    def type_(self) -> str:
        """In C: "struct mm_struct *"."""
        return self._native.facts()[1]

    @property
    def kind_(self) -> str:
        """integer, pointer, array, structure, union, enumeration, floating, ..., whatever typedefs call it."""
        return self._native.facts()[0]

    @property
    def size_(self) -> int | None:
        """Bytes; None for void and functions."""
        return self._native.facts()[2]

    @property
    def address_(self) -> Address | None:
        """Where it lies; None for values and bit-fields."""
        return self._native.facts()[3]

    @property
    def bits_(self) -> int | None:
        """The width of a bit-field; None for everything else."""
        return self._native.facts()[5] or None

    @property
    def enumerator_(self) -> str | None:
        """The name of an enumeration's value; None if it has none."""
        return self._native.enumerator()

    @property
    def members_(self) -> list[str]:
        """The names of a structure's members, or of what a pointer points to."""
        return self._native.member_names()

    @property
    def text_(self) -> str:
        """The whole with everything in it, as C text for people; what cannot be read says so in its place."""
        return self._native.description()

    def string_(self, most: int = 4096) -> str:
        """The text of an array of characters, or of what a pointer to characters points to, up to its NUL or `most` bytes."""
        return self._native.text(most)[0]

    @property
    def value_(self) -> Any:
        """As Python has it: int, bool, float, str, Address; a list of an array's elements. UsageError for structures."""
        kind, _, _, _, count, _, is_boolean = self._native.facts()
        if kind == "pointer":
            return Address(self._native.integer())
        if kind == "floating":
            return self._native.real()
        if kind == "array":
            try:
                return self.string_()
            except UsageError:
                return [self[index].value_ for index in range(count or 0)]
        number = self._native.integer()
        return bool(number) if is_boolean else number

    def __int__(self) -> int:
        return self._native.integer()

    __index__ = __int__

    def __float__(self) -> float:
        return self._native.real() if self.kind_ == "floating" else float(self._native.integer())

    def __bool__(self) -> bool:
        kind = self.kind_
        if kind == "floating":
            return self._native.real() != 0
        return self._native.integer() != 0 if kind in _NUMBERS else True

    def __bytes__(self) -> bytes:
        return self._native.bytes()

    def __len__(self) -> int:
        count = self._native.facts()[4]
        if count is None:
            raise TypeError(f"{self.type_} has no length")
        return count

    def __iter__(self) -> Iterator["Object"]:
        return (self[index] for index in range(len(self)))

    def __dir__(self) -> list[str]:
        own = [name for name in super().__dir__() if name.endswith("_")]
        try:
            return own + self.members_
        except Error:
            return own

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Object):
            mine, its = self._native.facts(), other._native.facts()
            if mine[0] not in (*_NUMBERS, "floating") and mine[3] is not None:
                return mine[1] == its[1] and mine[3] == its[3]  # the same object
            other = other.value_
        if not isinstance(other, (int, float, str, list)):
            return NotImplemented
        return bool(self.value_ == other)

    def __str__(self) -> str:
        """Of a number, text or enumeration its value; of everything else text_."""
        kind = self.kind_
        if kind == "enumeration":
            return self.enumerator_ or str(self._native.integer())
        if kind in ("integer", "floating", "pointer"):
            return str(self.value_)
        if kind == "array":
            try:
                return self.string_()
            except UsageError:
                pass
        return self.text_

    def __repr__(self) -> str:
        kind, type_name, _, address, _, _, _ = self._native.facts()
        try:
            if kind in (*_NUMBERS, "floating"):
                return f"<{type_name} {self.value_!r}>"
        except Error as error:
            return f"<{type_name}: {error.reason}>"
        return f"<{type_name} at {address!r}>"
