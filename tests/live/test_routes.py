"""Each way of finding the kernel, alone, on real kernels: each finds the same kernel and all of its processes."""

import json
import subprocess

import pytest
from monitors import tool
from test_truth_modules import resources
from truth_compare import Comparison, of_image
from truth_processes import EXPLANATIONS, compare_rows, expected_process, found_row

ROUTES = {"registers": "vCPU registers", "page-tables": "page tables", "vmcoreinfo": "VMCOREINFO", "scan": "full scan"}
pytestmark = pytest.mark.guests("k510", "k61", "k612", "k7")


def look(subject, route: str):
    """What the probe finds that way."""
    return subprocess.run([tool("guest_probe"), "--route", route, "processes", subject.target], capture_output=True, check=False,
                          timeout=120)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("form", ["raw", "elf"])
def test_route_of_an_image(images, form, route, record_property):
    subject = of_image(images, form)
    done = look(subject, route)
    if (form, route) == ("raw", "registers"):
        assert done.returncode == 1 and b"no Linux kernel found" in done.stderr, "a raw image has no registers"
        return
    assert done.returncode == 0, f"{subject}: {done.stderr.decode('utf-8', 'replace')}"
    found, truth = json.loads(done.stdout), subject.truth
    text, code = truth.symbol("_text"), resources(truth, "Kernel code")
    assert found["kernel"] == {"route": ROUTES[route], "text_va": text, "text_pa": code[0][0],
                               "root": truth.symbol("init_top_pgt") - text + code[0][0]}
    assert found["end"] == "complete"
    rows = {row["pid"]: found_row({**row, "flags": hex(row["flags"])}) for row in found["rows"]}
    assert len(rows) == len(found["rows"]), "a process twice"
    comparison = Comparison(subject, EXPLANATIONS)
    compare_rows(comparison, {pid: expected_process(process) for pid, process in truth.processes.items()}, rows, truth.processes)
    comparison.finish(record_property, at_least=150 * 25)
