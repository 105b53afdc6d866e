"""Test cases and the reports they are read from."""

import dataclasses
import pathlib
import xml.etree.ElementTree as ElementTree

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclasses.dataclass(frozen=True)
class Case:
    """One test case of one stage."""

    name: str
    outcome: str
    reason: str = ""
    output: str = dataclasses.field(default="", compare=False)  # of one that failed


def _reason(element) -> str:
    text = (element.get("message") or element.text or "").strip()
    return text.splitlines()[0][:300] if text else ""


def _outcome(testcase) -> tuple:
    for tag in ("failure", "error"):
        found = testcase.find(tag)
        if found is not None:
            return FAILED, _reason(found)
    skipped = testcase.find("skipped")
    status = testcase.get("status", "run")
    if skipped is not None or status in ("notrun", "disabled"):
        return SKIPPED, (_reason(skipped) if skipped is not None else "") or status
    # CTest says "fail" where it writes no failure element.
    return (PASSED, "") if status == "run" else (FAILED, status)


def _gtest_skip_reason(testcase) -> str:
    """What GTEST_SKIP() was given: the line after its place in the output."""
    output = testcase.findtext("system-out") or ""
    lines = output.splitlines()
    for number, line in enumerate(lines[:-1]):
        if line.endswith(": Skipped"):
            return lines[number + 1].strip()
    return ""


def _output(testcase) -> str:
    """All that the report tells of a failure: pytest's account of it, what the test printed."""
    texts = [testcase.findtext(tag) for tag in ("failure", "error", "system-out", "system-err")]
    return "\n".join(text.strip() for text in texts if text and text.strip())


def from_junit(path: pathlib.Path) -> list:
    """The cases of a JUnit file, as CTest and pytest write it."""
    cases = []
    for testcase in ElementTree.parse(path).getroot().iter("testcase"):
        outcome, reason = _outcome(testcase)
        if outcome == SKIPPED:
            reason = _gtest_skip_reason(testcase) or reason
        classname, name = testcase.get("classname", ""), testcase.get("name", "?")
        # CTest repeats the name as the class.
        full = name if not classname or classname == name else f"{classname.removeprefix('tests.')}::{name}"
        cases.append(Case(full, outcome, reason, _output(testcase) if outcome == FAILED else ""))
    return cases


def count(cases: list) -> dict:
    """Outcome to number of cases."""
    return {outcome: sum(case.outcome == outcome for case in cases) for outcome in (PASSED, FAILED, SKIPPED)}


def closing_line(cases: list) -> str:
    """The last line of a run."""
    numbers = count(cases)
    return ", ".join(f"{numbers[outcome]} {outcome}" for outcome in (PASSED, FAILED, SKIPPED))
