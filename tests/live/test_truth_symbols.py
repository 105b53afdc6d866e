"""Every line of /proc/kallsyms: address, letter, name, module, in the kernel's order."""

import collections

import pytest
from truth_compare import Comparison, Explanation, of_guest, of_image

# Listed in /proc/kallsyms behind the modules', but in no symbol table of the kernel: code that it made at run time.
MADE_AT_RUN_TIME = {"bpf", "__builtin__kprobes", "__builtin__ftrace"}

EXPLANATIONS = {
    "symbol of code made at run time": Explanation(lambda difference, _: difference.expected is not None and difference.found is None
                                                                         and difference.expected[3] in MADE_AT_RUN_TIME, 8),
}


def check_symbols(vitrine, subject, record_property, *options):
    expected = [(symbol.address, symbol.type, symbol.name, symbol.module) for symbol in subject.truth.kallsyms]
    found = [(int(row["address"], 16), row["type"], row["name"], row["module"] or "")
             for row in vitrine.rows("symbols", subject.target, *options)]
    comparison = Comparison(subject, EXPLANATIONS)
    if expected == found:
        comparison.compared = len(expected)
    else:
        compare_lines(comparison, expected, found)
    modules = {line[3] for line in expected} - MADE_AT_RUN_TIME - {""}
    assert modules == set(subject.truth.modules)
    comparison.finish(record_property, at_least=80_000)


def compare_lines(comparison, expected, found):
    """As multisets first, which names what is missing or too much; then the order of what both have."""
    wanted, have = collections.Counter(expected), collections.Counter(found)
    for line in (wanted - have).elements():
        comparison.only_one(line[2], "line", line, None)
    for line in (have - wanted).elements():
        comparison.only_one(line[2], "line", None, line)
    both = wanted & have
    in_order = [[line for line in side if line in both] for side in (expected, found)]
    for index, (line, other) in enumerate(zip(*in_order)):
        comparison.equal(index, "line in order", line, other)


@pytest.mark.parametrize("form", ["raw", "elf"])
def test_symbols_of_an_image(vitrine, images, form, record_property):
    check_symbols(vitrine, of_image(images, form), record_property)


def test_symbols_of_a_running_guest(vitrine, guest, record_property):
    check_symbols(vitrine, of_guest(guest), record_property)


@pytest.mark.guests("k510", "k61", "k612", "k7")
def test_symbols_without_a_cache(empty_cache, images, record_property):
    """Decoded anew from a raw image, and again with what the first run kept: the same."""
    subject = of_image(images, "raw")
    check_symbols(empty_cache, subject, record_property, "--no-cache")
    check_symbols(empty_cache, subject, record_property)
    check_symbols(empty_cache, subject, record_property)
