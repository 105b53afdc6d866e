"""Every namespace of every process against /proc/PID/ns."""

import pytest
from truth_compare import Comparison, Explanation, of_guest, of_image
from truth_files import compare, expected_namespaces

EXPLANATIONS = {
    # Kernel threads of the workqueues, all in the initial namespaces.
    "workers come and go": Explanation(
        lambda difference, context: difference.field == "presence" and (context[1] or context[2])["is_worker"], 6),
}


def check_namespaces(vitrine, subject, record_property):
    rows = vitrine.rows("table", "process_namespaces", subject.target)
    names = {row["pid"]: row["name"] or "" for row in vitrine.rows("table", "processes", subject.target, "--columns", "pid,name")}
    found = {row["pid"]: {**row, "is_worker": names.get(row["pid"], "").startswith("kworker/")} for row in rows}
    assert len(found) == len(rows), "a process twice"
    processes = subject.truth.processes
    expected = {pid: {**expected_namespaces(process), "is_worker": process.comm.startswith(b"kworker/")}
                for pid, process in processes.items()}
    comparison = Comparison(subject, EXPLANATIONS)
    compare(comparison, expected, found)
    comparison.finish(record_property, at_least=200 * 10)
    # The comparison is not of a guest in which all are in the same ones.
    for kind in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts", "time"):
        assert len({row[f"{kind}_namespace"] for row in rows} - {None}) >= 2, kind
    assert any(row["pid_for_children_namespace"] not in (None, row["pid_namespace"]) for row in rows)


@pytest.mark.parametrize("form", ["raw", "elf"])
def test_namespaces_of_an_image(vitrine, images, form, record_property):
    check_namespaces(vitrine, of_image(images, form), record_property)


def test_namespaces_of_a_running_guest(vitrine, guest, record_property):
    check_namespaces(vitrine, of_guest(guest), record_property)
