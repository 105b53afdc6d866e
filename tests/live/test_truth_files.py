"""Every descriptor of every process, and every pipe with both its ends, against /proc."""

import pytest
from truth_compare import Comparison, of_guest, of_image
from truth_files import compare, expected_files, expected_pipes, of_collector


def check_files(vitrine, subject, record_property, *options):
    rows = vitrine.rows("table", "process_open_files", subject.target, *options)
    found = {(row["pid"], row["fd"]): row for row in rows}
    assert len(found) == len(rows), "a descriptor twice"
    comparison = Comparison(subject, of_collector(subject.truth))
    compare(comparison, expected_files(subject.truth), found)
    comparison.finish(record_property, at_least=700 * 7)
    assert all(row["allocated"] == 1 and row["refcount"] >= 1 for row in rows)
    check_sharing(rows)
    return rows


def check_sharing(rows):
    """What shares a struct file is the same file, and each descriptor of it is a reference."""
    by_file = {}
    for row in rows:
        by_file.setdefault(row["file"], []).append(row)
    for shared in by_file.values():
        first = shared[0]
        assert first["refcount"] >= len(shared), first
        for column in ("path", "pos", "mount_id", "inode_address"):
            assert {row[column] for row in shared} == {first[column]}, first


def check_pipes(vitrine, subject, record_property):
    rows = vitrine.rows("table", "process_open_pipes", subject.target)
    found = {(row["pid"], row["fd"], row["partner_pid"], row["partner_fd"]): row for row in rows}
    assert len(found) == len(rows), "a pair twice"
    comparison = Comparison(subject, of_collector(subject.truth))
    compare(comparison, expected_pipes(subject.truth), found)
    comparison.finish(record_property, at_least=150 * 4)


@pytest.mark.parametrize("form", ["raw", "elf"])
def test_open_files_of_an_image(vitrine, images, form, record_property):
    check_files(vitrine, of_image(images, form), record_property)


@pytest.mark.parametrize("form", ["raw", "elf"])
def test_pipes_of_an_image(vitrine, images, form, record_property):
    check_pipes(vitrine, of_image(images, form), record_property)


def test_open_files_of_a_running_guest(vitrine, guest, record_property):
    check_files(vitrine, of_guest(guest), record_property)


def test_pipes_of_a_running_guest(vitrine, guest, record_property):
    check_pipes(vitrine, of_guest(guest), record_property)


def test_files_of_the_workload(vitrine, images):
    """Each kind of file that the workload opens, by what makes it special."""
    pids = images.truth.workload
    rows = vitrine.rows("table", "process_open_files", images.raw)
    of = {label: {row["path"]: row for row in rows if row["pid"] == pids[label]} for label in ("files", "files-anonymous", "files-many")}
    files = of["files"]
    assert (files["/tmp/written"]["pos"], files["/tmp/written"]["size"], files["/tmp/written"]["mode"]) == (4, 10, "0600")
    assert files["/tmp/appended"]["flags"] == "O_WRONLY|O_APPEND|O_LARGEFILE|O_CLOEXEC" and files["/tmp/appended"]["mode"] == "0640"
    assert files["/tmp/appended"]["close_on_exec"] == 1 and files["/tmp/written"]["close_on_exec"] == 0
    removed = files["/tmp/removed (deleted)"]
    assert (removed["deleted"], removed["nlink"], removed["type"], removed["fs_type"]) == (1, 0, "regular", "tmpfs")
    memfd = files["/memfd:a memfd (deleted)"]
    assert (memfd["deleted"], memfd["type"], memfd["mount_id"]) == (1, "regular", 0)
    assert files["/tmp"]["type"] == "directory" and files["/tmp/fifo"]["type"] == "fifo"
    assert (files["/dev/null"]["type"], files["/dev/null"]["rdev"]) == ("chr", "1:3")
    assert files["/dev/vda"]["type"] == "blk" and files["/dev/vda"]["rdev"].endswith(":0")
    assert files["/mnt/over/on-overlay"]["fs_type"] == "overlay"
    assert files["/proc/1/status"]["fs_type"] == "proc"
    kinds = {path for path, row in of["files-anonymous"].items() if row["type"] == "anon_inode"}
    assert kinds == {f"anon_inode:{kind}" for kind in ("[eventfd]", "[eventpoll]", "[timerfd]", "[signalfd]", "[pidfd]", "inotify")}
    modules = [row for row in rows if row["pid"] == pids["files-many"] and row["path"] == "/etc/modules"]
    assert {700, 1500} < {row["fd"] for row in modules} and len({row["file"] for row in modules}) == 1
    assert modules[0]["refcount"] == len(modules) == 3
