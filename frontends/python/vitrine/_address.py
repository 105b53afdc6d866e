"""Addresses: numbers that print as such."""

from __future__ import annotations

_END = 1 << 64


class Address(int):
    """An address of a guest, unsigned and of 64 bits. An int in every respect, but that it prints as 0xffff888003a40000."""

    __slots__ = ()

    def __new__(cls, value: int | str = 0) -> "Address":
        number = int(value, 0) if isinstance(value, str) else int(value)
        if not 0 <= number < _END:
            raise ValueError(f"{number} is no 64-bit address")
        return super().__new__(cls, number)

    def __repr__(self) -> str:
        return hex(int(self))

    __str__ = __repr__

    def __add__(self, offset: int) -> "Address":
        """Address + offset is an Address; ValueError when it leaves 64 bits."""
        return Address(int(self) + int(offset)) if isinstance(offset, int) else NotImplemented

    __radd__ = __add__

    def __sub__(self, other: int) -> int:
        """Address - offset is an Address, Address - Address an int."""
        if isinstance(other, Address):
            return int(self) - int(other)
        return Address(int(self) - int(other)) if isinstance(other, int) else NotImplemented

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return Address, (int(self),)
