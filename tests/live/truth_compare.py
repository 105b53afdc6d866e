"""What the truth tests share: what is looked at, the guest's own account of it, and differences that are explained by name.

A comparison is whole: everything the guest knew is looked for, and everything that was found must be known to the guest. What may
rightly differ has an explanation with a name and a rule; whatever no rule covers fails the test.
"""

import collections
import dataclasses
import re

import pytest
from vitrine_guests import Truth

SHOWN = 20  # differences in the message of a failed test


@dataclasses.dataclass(frozen=True)
class Subject:
    """A guest to be looked into, in one of its forms."""

    id: str
    target: str
    truth: Truth
    ram: tuple  # (first, last + 1) of guest-physical memory

    def __str__(self) -> str:
        return f"{self.id} ({self.target})"


def spans(ranges) -> tuple:
    """From (start, size) pairs."""
    return tuple((start, start + size) for start, size in ranges)


def of_image(images, form: str) -> Subject:
    """The recorded guest: its raw image or its ELF core."""
    ram = spans(images.meta["ranges"])
    # The raw image is padded: what lies between is zeros.
    return Subject(images.id, str(getattr(images, form)), images.truth, ((0, ram[-1][1]),) if form == "raw" else ram)


def of_guest(guest) -> Subject:
    """The running guest."""
    return Subject(f"{guest.config.kernel}, {guest.config.backend}", f"qemu:{guest.pid}", guest.truth,
                   spans(guest.config.physical_ranges))


def shown(data: bytes) -> str:
    """Bytes of the guest as JSON output has them: each byte that is not UTF-8 becomes U+FFFD."""
    return re.sub("[\ud800-\udfff]", "\ufffd", data.decode("utf-8", "surrogateescape"))


@dataclasses.dataclass(frozen=True)
class Difference:
    """One field of one thing: what the guest said, and what was found."""

    key: object
    field: str
    expected: object
    found: object

    def __str__(self) -> str:
        return f"{self.key}: {self.field}: the guest says {self.expected!r}, found {self.found!r}"


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Why a difference may be: the rule says whether it is of that kind and its values possible ones; there are few of each."""

    rule: object  # (Difference, context) -> bool
    most: int

    def covers(self, difference: Difference, context) -> bool:
        return self.rule(difference, context)


class Comparison:
    """Counts what was compared, and sorts differences into explained and not. `explanations`: name to Explanation."""

    def __init__(self, subject: Subject, explanations: dict):
        self.subject, self.explanations = subject, explanations
        self.compared = 0
        self.explained = collections.Counter()
        self.unexplained = []

    def equal(self, key, field: str, expected, found, context=None) -> None:
        """One value of each side. `context` is handed to the explanations' rules."""
        self.compared += 1
        if expected != found:
            self._differs(Difference(key, field, expected, found), context)

    def only_one(self, key, field: str, expected, found, context=None) -> None:
        """A thing that only one side has."""
        self._differs(Difference(key, field, expected, found), context)

    def _differs(self, difference: Difference, context) -> None:
        for name, explanation in self.explanations.items():
            if explanation.covers(difference, context):
                self.explained[name] += 1
                return
        self.unexplained.append(difference)

    def finish(self, record_property, at_least: int) -> None:
        """Fails on what is not explained, on what is explained too often, and when less was compared than there must be."""
        account = f"{self.compared} compared"
        if self.explained:
            account += ", explained: " + ", ".join(f"{count} x {name} (of {self.explanations[name].most})"
                                                   for name, count in sorted(self.explained.items()))
        record_property("compared", f"{self.subject.id}: {account}")
        print(f"{self.subject}: {account}")
        if self.unexplained:
            lines = "\n".join(map(str, self.unexplained[:SHOWN]))
            pytest.fail(f"{self.subject}: {len(self.unexplained)} differences of {account}\n{lines}", pytrace=False)
        too_many = {name: f"{count}, at most {self.explanations[name].most}" for name, count in self.explained.items()
                    if count > self.explanations[name].most}
        assert not too_many, f"{self.subject}: explained too often: {too_many}"
        assert self.compared >= at_least, f"{self.subject}: only {account}"
