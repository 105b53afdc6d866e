"""Every process and thread with its fields, against /proc."""

import pytest
from truth_compare import Comparison, of_guest, of_image
from truth_processes import EXPLANATIONS, compare_rows, expected_process, expected_thread, found_row

CLOCK_SLACK_S = 0.005  # the guest reads its clocks one after the other


def check_processes(vitrine, subject, record_property, *options):
    rows = vitrine.rows("table", "processes", subject.target, *options)
    found = {row["pid"]: found_row(row) for row in rows}
    assert len(found) == len(rows), "a process twice"
    truth = subject.truth
    expected = {pid: expected_process(process) for pid, process in truth.processes.items()}
    comparison = Comparison(subject, EXPLANATIONS)
    compare_rows(comparison, expected, found, truth.processes)
    comparison.finish(record_property, at_least=150 * 25)
    check_start_times(truth, rows)


def check_start_times(truth, rows):
    """Seconds since the epoch, rounded down: by the clocks that the guest itself read."""
    booted = truth.clocks["realtime"] - truth.clocks["boottime"]
    for row in rows:
        started = booted + row["start_ns"] / 1e9
        assert row["start_time"] in {int(started - CLOCK_SLACK_S), int(started + CLOCK_SLACK_S)}, row


def check_threads(vitrine, subject, record_property):
    rows = vitrine.rows("table", "process_threads", subject.target)
    found = {row["tid"]: found_row(row) for row in rows}
    assert len(found) == len(rows), "a thread twice"
    tasks = subject.truth.threads
    expected = {tid: expected_thread(task) for tid, task in tasks.items()}
    comparison = Comparison(subject, EXPLANATIONS)
    compare_rows(comparison, expected, found, tasks)
    comparison.finish(record_property, at_least=200 * 8)


@pytest.mark.parametrize("form", ["raw", "elf"])
def test_processes_of_an_image(vitrine, images, form, record_property):
    check_processes(vitrine, of_image(images, form), record_property)


@pytest.mark.parametrize("form", ["raw", "elf"])
def test_threads_of_an_image(vitrine, images, form, record_property):
    check_threads(vitrine, of_image(images, form), record_property)


@pytest.mark.parametrize("options", [(), ("--no-qmp",), ("--no-registers",), ("--no-cache",), ("--paused",)],
                         ids=lambda options: "".join(options).strip("-") or "default")
def test_processes_of_a_running_guest(vitrine, guest, options, record_property):
    if options == ("--paused",) and not guest.qmp_path:
        pytest.skip("without a QMP socket and without KVM there is no pausing from outside")
    check_processes(vitrine, of_guest(guest), record_property, *options)


def test_threads_of_a_running_guest(vitrine, guest, record_property):
    check_threads(vitrine, of_guest(guest), record_property)


def test_workload_is_there(vitrine, images):
    """The known workload, by what makes each of it special: the comparison is not of an idle machine."""
    truth = images.truth
    rows = {row["pid"]: row for row in vitrine.rows("table", "processes", images.raw)}
    labels = truth.workload
    assert len(labels) > 100
    row = {label: rows[pid] for label, pid in labels.items() if not label.endswith("(ended)")}
    assert row["threads"]["threads"] > 1
    assert row["leader-exited"]["state"] == "Z" and row["leader-exited"]["threads"] >= 1
    assert sum(item["state"] == "Z" for item in rows.values()) >= 1
    assert sum(item["on_disk"] == 0 for item in rows.values()) >= 2
    assert sum(len((item["namespace_pids"] or "").split()) == 3 for item in rows.values()) >= 1
    deep = [row[label] for label in sorted(labels) if label.startswith("deep-")]
    assert len(deep) >= 40 and all(child["parent"] == parent["pid"] for parent, child in zip(deep, deep[1:]))
    assert sum(item["root"] not in (None, "/") for item in rows.values()) >= 1
