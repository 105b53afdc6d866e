"""The demo and the stage that runs it: what is taken for a guest's name, and what for a good demo."""

import importlib.machinery
import importlib.util
import pathlib
import sys

import pytest

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

from testing import demo_stage  # noqa: E402  pylint: disable=wrong-import-position
from testing.cases import FAILED  # noqa: E402  pylint: disable=wrong-import-position


@pytest.fixture(scope="module")
def demo():
    loader = importlib.machinery.SourceFileLoader("vitrine_demo", str(TOOLS / "demo"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("vitrine_demo", loader))
    loader.exec_module(module)
    return module


@pytest.mark.parametrize("line, name", [
    ("qemu -name demo", b"demo"), ("qemu -name demo,process=x -m 1", b"demo"), ("qemu -name guest=demo", b"demo"),
    ("qemu -name process=x,guest=demo,debug-threads=on", b"demo"), ("qemu --name guest=demo", b"demo"),
    ("qemu -name process=x", None), ("qemu -m 1", None), ("qemu -name", None),
])
def test_name_in(demo, line, name):
    assert demo.name_in([word.encode() for word in line.split()]) == name


def test_a_bad_demo_fails_by_name():
    failed = [case.name for case in demo_stage.cases_of("x" * 81 + "\n") if case.outcome == FAILED]
    assert len(failed) == 7 and "the demo fits the terminal" in failed


def test_wide_characters_count_twice():
    assert demo_stage.width_of("日本") == 4 and demo_stage.width_of("e\u0301") == 1
