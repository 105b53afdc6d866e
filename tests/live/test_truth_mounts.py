"""Every line of every mountinfo against the table of mounts."""

import pytest
from truth_compare import Comparison, Explanation, of_guest, of_image
from truth_files import compare, expected_mounts

def covered_roots(rows) -> set:
    """(namespace, id) of what has another mount over its whole root. mountinfo leaves it out: it is not below the root of any process.
    So are the kernel's first root since 7.0, and the one below kdevtmpfs, which mounts its own over it."""
    over = {(row["mount_namespace"], row["parent_id"]) for row in rows if row["path"] == "/" and row["parent_id"] != row["mount_id"]}
    return over & {(row["mount_namespace"], row["mount_id"]) for row in rows if row["path"] == "/"}


def check_mounts(vitrine, subject, record_property):
    rows = vitrine.rows("table", "mounts", subject.target)
    found = {(row["mount_namespace"], row["mount_id"]): row for row in rows}
    assert len(found) == len(rows), "a mount twice"
    expected = expected_mounts(subject.truth)
    assert len({number for number, _ in expected}) >= 3, "the workload has mount namespaces of its own"
    covered = covered_roots(rows)
    comparison = Comparison(subject, {"a root below a root": Explanation(
        lambda difference, context: difference.field == "presence" and context[1] is None and context[0] in covered, 4)})
    compare(comparison, expected, found)
    comparison.finish(record_property, at_least=20 * 12)
    check_space(rows)
    check_namespaces(subject.truth, rows)


def check_space(rows):
    for row in rows:
        if row["blocks"] is not None:
            assert row["blocks_size"] == 4096 and 0 <= row["blocks_free"] <= row["blocks"] and row["blocks_available"] == row["blocks_free"]
            assert 0 <= row["inodes_free"] <= row["inodes"]
    known = {row["type"] for row in rows if row["blocks"] is not None}
    assert known >= {"tmpfs", "proc", "sysfs", "devtmpfs", "devpts", "cgroup2"}
    assert all(row["blocks_free"] < row["blocks"] for row in rows if row["path"] == "/tmp")


def check_namespaces(truth, rows):
    """The process named with a namespace is in it, and each namespace of the guest's is there."""
    for row in rows:
        assert truth.processes[row["pid"]].namespaces["mnt"] == row["mount_namespace"]
    assert {process.namespaces["mnt"] for process in truth.processes.values() if "mnt" in process.namespaces} == \
        {row["mount_namespace"] for row in rows}


@pytest.mark.parametrize("form", ["raw", "elf"])
def test_mounts_of_an_image(vitrine, images, form, record_property):
    check_mounts(vitrine, of_image(images, form), record_property)


def test_mounts_of_a_running_guest(vitrine, guest, record_property):
    check_mounts(vitrine, of_guest(guest), record_property)


def test_mounts_of_the_workload(vitrine, images):
    rows = vitrine.rows("table", "mounts", images.raw)
    own = {row["path"]: row for row in rows if row["mount_namespace"] == images.truth.processes[1].namespaces["mnt"]}
    assert own["/mnt/with space"]["device"] == "odd\tsource" and own["/mnt/with space"]["flags"] == "rw,nosuid,nodev,relatime"
    assert own["/mnt/with space"]["blocks"] == 256
    assert own["/mnt/bound"]["super_block"] == own["/tmp"]["super_block"] and own["/mnt/bound"]["mount"] != own["/tmp"]["mount"]
    inner = [row for row in rows if row["path"] == "/mnt/inner"]
    assert len(inner) == 1 and inner[0]["options"] == "rw,noexec,relatime" and "/mnt/inner" not in own
