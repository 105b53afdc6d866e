"""The Python package on an image of a real guest: answers, what is said of them, errors, examples."""

import gc
import json
import os
import pickle
import re
import subprocess

import pytest
from conftest import PROJECT
from python_package import PACKAGE, RUNAWAY, imported, opened, run_program  # noqa: F401  pylint: disable=unused-import

pytestmark = pytest.mark.guests("k61")

TABLES = ("processes", "kernel_modules", "process_open_sockets", "listening_ports", "process_memory_map", "mounts")


def as_in_json(package, value):
    """As the program prints it: addresses as text, and a byte that is no UTF-8 as a replacement character."""
    if isinstance(value, package.Address):
        return str(value)
    return re.sub("[\udc80-\udcff]", "\ufffd", value) if isinstance(value, str) else value


@pytest.mark.parametrize("table", TABLES)
def test_rows_are_those_of_the_program(package, image, images, vitrine, table):
    result = image.query(f"SELECT * FROM {table}")
    expected = vitrine.rows("sql", images.raw, f"SELECT * FROM {table}")
    assert [column.name for column in result.columns] == list(expected[0])
    assert [{name: as_in_json(package, value) for name, value in row.items()} for row in result.dicts()] == expected
    for row in result:
        assert all(isinstance(value, (bool, type(None))) == (column.type == "boolean" or value is None)
                   for column, value in zip(result.columns, row)), row
    assert result.complete and result.diagnostics == () and result.method == "image" and result.one_moment
    reading = result.readings[0]
    assert reading.table == table and reading.rows == len(result) and reading.end == "complete" and reading.times == 1
    assert 0 <= reading.took <= result.took < 60 and reading.failure is None
    if table == "processes":
        assert {row.pid for row in result} >= set(images.truth.processes)


def test_a_row_is_a_tuple_with_names(package, image):
    row = image.query("SELECT pid, name, task, NULL AS missing, 'x' AS [count], 1.5, cmdline FROM processes WHERE pid = ?1", [1])[0]
    pid, name, task, *_ = row
    assert (row.pid, row["name"], row[2], row.missing, row["count"], row.count) == (pid, name, task, None, "x", "x")
    assert pid == 1 and isinstance(row, tuple) and row["1.5"] == 1.5
    assert isinstance(task, package.Address) and task > 2**63 and re.fullmatch("0xffff[0-9a-f]{12}", f"{task}")
    assert task + 8 - task == 8 and isinstance(task + 8, package.Address)
    with pytest.raises(AttributeError, match="task"):
        row.pdi  # pylint: disable=pointless-statement
    with pytest.raises(KeyError):
        row["pdi"]  # pylint: disable=pointless-statement
    assert dict(image.query("SELECT 1 AS a, NULL AS b")[0]) == {"a": 1, "b": None}
    assert image.query("SELECT 1 AS a, NULL AS b").dicts() == [{"a": 1, "b": None}]
    assert pickle.loads(pickle.dumps(row)) == row and pickle.loads(pickle.dumps(row)).pid == 1
    with pytest.raises(ValueError):
        package.Address(-1)


def test_parameters(image):
    def one(*values):
        (row,) = image.query("SELECT " + ", ".join(f"?{number + 1}" for number in range(len(values))), values)
        return tuple(row)
    assert one(None, True, -5, 2**63 - 1, 1.25, "naïve") == (None, 1, -5, 2**63 - 1, 1.25, "naïve")
    assert one("\udcff\udc80!") == ("\udcff\udc80!",), "bytes that are no UTF-8 go there and back"
    task = image.query("SELECT task FROM processes WHERE pid = 1")[0].task
    for address in (task, int(task)):
        assert image.query("SELECT pid FROM processes WHERE task = ?1", [address])[0].pid == 1
    assert one(b"\xff\x00\x1b[m") == ("\udcff\0\x1b[m",)
    assert one(image.object("task_struct", task).pid, image.object("task_struct", task).comm) == (1, "init")
    for wrong in (2**64, -2**63 - 1, object()):
        with pytest.raises(ValueError, match="parameter"):
            one(wrong)
    for wrong in ("1", 1, {"a": 1}):
        with pytest.raises((ValueError, TypeError)):
            image.query("SELECT ?1", wrong)


def test_text_of_a_guest_is_kept_whatever_it_is(image):
    """One of the guest's processes has a name that is no UTF-8, others have control characters in theirs."""
    odd = [row for row in image.query("SELECT pid, name, task FROM processes") if not row.name.isprintable()]
    assert any("\udc80" <= letter <= "\udcff" for row in odd for letter in row.name), odd
    for row in odd:
        comm = image.object("task_struct", row.task).comm
        raw = row.name.encode("utf-8", "surrogateescape")
        assert bytes(comm).split(b"\0")[0] == raw == str(comm).encode("utf-8", "surrogateescape")
        found = image.query("SELECT pid FROM processes WHERE name = ?1", [row.name])
        assert row.pid in {other.pid for other in found}
        assert json.dumps(row._asdict()) and repr(row).isprintable()


def test_what_is_not_known_is_said(image):
    result = image.query("SELECT * FROM vcpus")
    assert len(result) == 0 and not result.complete
    assert result.diagnostics and all(one.table == "vcpus" and one.reason for one in result.diagnostics)
    assert result.readings[0].failure


def test_schema_and_kernel(package, image, images):
    assert "processes" in image.tables() and len(image.schema()) == len(image.tables())
    table = image.schema("processes")
    assert {column.name: column.type for column in table.columns}["task"] == "address"
    assert [column.name for column in table.columns if column.is_index]
    with pytest.raises(package.NotFoundError):
        image.schema("proceses")
    assert image.kernel.release == images.truth.release and image.kernel.os == "linux"
    assert re.fullmatch("[0-9a-f]{40}", image.kernel.build_id)
    assert image.symbols.address_of("_text") == image.kernel.text
    banner = image.symbols.address_of("linux_banner")
    assert str(image.symbols.nearest(banner + 3)) == "linux_banner+0x3" and len(image.symbols) > 50_000
    assert "linux_banner" in image.symbols and "no_such_symbol" not in image.symbols
    with pytest.raises(package.NotFoundError) as caught:
        image.symbols.address_of("no_such_symbol")
    assert caught.value.code == "not_found"


def test_several_guests(package, images, vitrine, tmp_path):
    with package.open([images.raw, images.elf], cache_dir=vitrine.cache) as guests:
        rows = guests.query("SELECT vm, count(*) AS n FROM processes GROUP BY vm ORDER BY vm")
        assert [row.vm for row in rows] == sorted([images.raw.name, images.elf.name]) and rows[0].n == rows[1].n > 10
        assert len(guests) == 2 and {one.name for one in guests} == {row.vm for row in rows}
        assert guests[images.raw.name].kernel.text == guests[images.elf.name].kernel.text
    recording = tmp_path / os.fsdecode(b"odd name \xff.rec")
    vitrine.ok("record", images.raw, "-o", recording, "--", "processes")
    with package.open([recording, images.raw], cache_dir=vitrine.cache) as guests:
        assert guests[recording.name].target == str(recording)
        counts = guests.query("SELECT vm, count(*) AS n FROM processes GROUP BY vm")
        assert {row.vm for row in counts} == {recording.name, images.raw.name} and counts[0].n == counts[1].n
    with pytest.raises(package.UsageError):
        package.open([images.raw, images.raw])


def test_errors(package, image, images, vitrine, tmp_path):
    with pytest.raises(package.UsageError, match="no such column: pdi") as caught:
        image.query("SELECT pdi FROM processes")
    assert caught.value.code == "usage" and isinstance(caught.value, ValueError) and caught.value.address is None
    assert pickle.loads(pickle.dumps(caught.value)).reason == caught.value.reason
    with pytest.raises(package.Error):
        package.open(str(tmp_path / "nothing"))
    with pytest.raises(package.UsageError):
        package.open([])
    with pytest.raises(package.LimitError) as caught:
        image.query("SELECT * FROM symbols", rows=3)
    assert "rows=" in caught.value.advice and "--" not in str(caught.value)
    for limits in ({"rows": 3}, {"memory": 4096}, {"time": 0.2, "sql": RUNAWAY}):
        with pytest.raises(package.LimitError):
            image.query(limits.pop("sql", "SELECT * FROM symbols"), **limits)
    assert len(image.query("SELECT pid FROM processes LIMIT 3", rows=3)) == 3, "it goes on after errors"
    with pytest.raises(package.UsageError):
        image.query("SELECT 1", time=0)
    other = package.open(images.raw, cache_dir=vitrine.cache)
    task = other.variable("init_task", "task_struct")
    pid, copy, rows = task.pid, task.snapshot_(), other.query("SELECT pid FROM processes WHERE pid = 1")
    other.close()
    other.close()
    for ask in (lambda: other.query("SELECT 1"), lambda: task.pid, lambda: int(pid), lambda: str(copy.comm), lambda: bytes(task),
                lambda: repr(task), lambda: other.symbols.address_of("_text"), lambda: other.object("task_struct", 0),
                lambda: other.read(0, 1), lambda: other.identify(0), other.verify, other.paused().__enter__):
        with pytest.raises(package.ClosedError, match="closed"):
            ask()
    other.interrupt()
    assert rows[0].pid == 1 and other.kernel.release == images.truth.release, "what was read is kept"
    del other
    gc.collect()
    with pytest.raises(package.ClosedError):
        task.pid  # pylint: disable=pointless-statement


def test_the_example_of_the_document(images, vitrine, tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", (PROJECT / "docs/python.md").read_text(encoding="utf-8"), re.DOTALL)
    program = tmp_path / "example.py"
    program.write_text(example, encoding="utf-8")
    done = subprocess.run(["/usr/bin/python3", "-B", str(program), str(images.raw)], capture_output=True, check=False, timeout=60,
                          env=vitrine.environment(PYTHONPATH=str(PACKAGE), PYTHONIOENCODING="utf-8:surrogateescape"))
    assert done.returncode == 0, done.stderr.decode()
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    assert lines[0].split()[0] == images.truth.release and re.match(r"1 \S+ 0xffff[0-9a-f]{12}$", lines[1])
    assert lines[-1] == "linux_banner+0x8"
    (said,) = [number for number, line in enumerate(lines) if re.match(r"\d+ processes$", line)]
    assert lines[said + 1].startswith("init 1 ") and lines[said + 2:-1]
    assert all(re.match(r"child \d+ '", line) for line in lines[said + 2:-1])


def test_the_example_of_the_readme(images, vitrine):
    (example,) = re.findall(r"```python\n(.*?)```", (PROJECT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert example.count('"qemu:web1"') == 1
    done = run_program(example.replace('"qemu:web1"', repr(str(images.raw))), vitrine)
    assert done.returncode == 0, done.stderr.decode()
    assert re.match(rb"\d+ '.*' \[.*\]\n", done.stdout)
