"""When live tests may be skipped, and what their comparisons let pass."""

import types

import conftest
import pytest
from conftest import guests
from truth_compare import Comparison, Difference, Explanation
from truth_processes import EXPLANATIONS

Skipped, Failed = pytest.skip.Exception, pytest.fail.Exception


def raising(error):
    def function(*_unused):
        raise error
    return function


@pytest.mark.parametrize("kernel, error, outcome", [
    ("k61", guests.NotAvailable("no network"), Failed), ("k7", guests.NotAvailable("no network"), Skipped),
    ("k7", OSError("disk full"), OSError)])
def test_a_kernel_that_cannot_be_had(monkeypatch, kernel, error, outcome):
    monkeypatch.setattr(guests, "ensure", raising(error))
    with pytest.raises(outcome):
        conftest.kernel_or_skip(kernel)


@pytest.mark.parametrize("changes, outcome", [({}, Failed), ({"kernel": "k7"}, Skipped), ({"backend": "hugetlb"}, Skipped)])
def test_a_guest_that_cannot_be_had(monkeypatch, changes, outcome):
    monkeypatch.setattr(guests, "ensure", lambda kernel: None)
    monkeypatch.setattr(guests.Guest, "boot", raising(guests.Unavailable("qemu-system-x86_64 is not installed")))
    with pytest.raises(outcome):
        conftest.start(guests.GuestConfig(**changes))


def test_guest_after_guest():
    def item(*markers, **parameters):
        return types.SimpleNamespace(callspec=types.SimpleNamespace(params=parameters),
                                     get_closest_marker=lambda name: name if name in markers else None)
    filling = item("fills_holes", guest="k61")
    items = [item(guest="k7"), filling, item(guest="k61"), item(form="raw"), item(images="k7"), item(images="k61", form="raw")]
    conftest.pytest_collection_modifyitems(items)
    assert [conftest.guest_of(one) for one in items] == [None, "k61", "k61", "k61", "k7", "k7"]
    assert items[3] is filling


def test_explanations_run_out():
    comparison = Comparison("a guest", {"by chance": Explanation(lambda difference, _: difference.found == 2, 3)})
    comparison.subject = types.SimpleNamespace(id="a guest")
    for key in range(3):
        comparison.equal(key, "field", 1, 2)
    comparison.finish(lambda *_: None, at_least=3)
    comparison.equal(3, "field", 1, 2)
    with pytest.raises(AssertionError, match="explained too often"):
        comparison.finish(lambda *_: None, at_least=3)


@pytest.mark.parametrize("field, expected, found, covered", [
    ("state", "R", "I", True), ("state", "S", "R", True), ("state", "S", None, False), ("state", "S", "Z", False), ("state", "S", "I", False),
    ("flags", 0x208040, 0x208840, True), ("flags", 0x208040, None, False), ("flags", 0x208040, 0x8040, False), ("comm", "a", "b", False)])
def test_possible_values_only(field, expected, found, covered):
    task = types.SimpleNamespace(pid=7, comm=b"kthread", kernel_thread=True, truth=types.SimpleNamespace(collector=99))
    context = (task, {"name": "kthread", "kernel_thread": 1}, {"name": "kthread", "kernel_thread": 1})
    difference = Difference(7, field, expected, found)
    assert any(explanation.covers(difference, context) for explanation in EXPLANATIONS.values()) == covered
