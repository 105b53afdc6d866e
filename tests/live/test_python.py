"""The Python package on an image of a real guest: answers, what is said of them, objects, errors, threads."""

import os
import pathlib
import pickle
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
from conftest import PROJECT

PACKAGE = pathlib.Path(os.environ.get("VITRINE_PYTHONPATH", PROJECT / "build/frontends/python"))
RUNAWAY = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT count(*) FROM c"
DOCUMENT = (PROJECT / "docs/python.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.guests("k61")


@pytest.fixture(scope="session", name="package")
def imported():
    """The module, of the build tree."""
    if not list(PACKAGE.glob("vitrine/_native*.so")):
        if subprocess.run(["dpkg", "-s", "pybind11-dev", "python3-dev"], capture_output=True, check=False).returncode == 0:
            pytest.fail(f"{PACKAGE} is not built: make", pytrace=False)
        pytest.skip("the Python package is not built: pybind11-dev or python3-dev is missing")
    sys.path.insert(0, str(PACKAGE))
    import vitrine  # pylint: disable=import-outside-toplevel
    return vitrine


@pytest.fixture(name="image")
def opened(package, images, vitrine):
    with package.open(str(images.raw), cache_dir=vitrine.cache) as guest:
        yield guest


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
    for wrong in (2**64, -2**63 - 1, b"bytes", object()):
        with pytest.raises(ValueError, match="parameter"):
            one(wrong)


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


def test_objects(package, image):
    rows = image.query("SELECT pid, name, parent, task FROM processes WHERE pid > 0")
    by_pid = {row.pid: row for row in rows}
    for row in rows:
        task = image.object("task_struct", row.task)
        assert task.pid == row.pid and int(task.tgid) == row.pid and task.address_ == row.task
        if not row.name.startswith("kworker"):  # what those do now is added
            assert task["comm"] == row.name[:15] and str(task.comm) == row.name[:15]
        if row.parent in by_pid:
            assert task.real_parent.value_ == by_pid[row.parent].task
            assert task.real_parent.deref_().pid == row.parent
    task = image.object("struct task_struct", by_pid[1].task)
    assert task.tasks.address_of_().container_of_("task_struct", "tasks") == task
    assert task.tasks.next.container_of_("task_struct", "tasks").pid == task.member_("tasks.next").container_of_(
        "struct task_struct", "tasks").pid
    assert task.type_ == "struct task_struct" and task.kind_ == "structure" and "comm" in task.members_ and "comm" in dir(task)
    assert len(bytes(task)) == task.size_ and len(task.comm) == 16 and bytes(task.comm).startswith(b"init\0")
    assert task.comm[0] == ord("i") and [chr(letter) for letter in task.comm][:4] == list("init")
    with pytest.raises(IndexError):
        task.comm[16]  # pylint: disable=pointless-statement
    copy = task.snapshot_()
    assert copy.comm == "init" and copy.pid.cast_("u8") == 1
    assert "task_struct" in repr(task) and ".comm" in task.text_
    assert image.variable("init_task", "task_struct").comm == "swapper/0"
    banner = image.variable("linux_banner", "char")
    assert banner.address_of_().string_() == image.kernel.banner or image.kernel.banner in banner.address_of_().string_()
    check_what_objects_refuse(package, image, task)


def check_what_objects_refuse(package, image, task):
    with pytest.raises(AttributeError):
        task.no_such_member  # pylint: disable=pointless-statement
    with pytest.raises(package.NotFoundError):
        task["no_such_member"]  # pylint: disable=pointless-statement
    with pytest.raises(package.UsageError):
        int(task)
    with pytest.raises(package.NotFoundError):
        image.object("no_such_type", 0)
    with pytest.raises(package.Error) as caught:
        int(image.object("task_struct", 0x1000).pid)
    assert caught.value.address is not None and 0x1000 <= caught.value.address < 0x10000
    with pytest.raises(TypeError):
        hash(task)


def test_several_guests(package, images, vitrine):
    with package.open([images.raw, images.elf], cache_dir=vitrine.cache) as guests:
        rows = guests.query("SELECT vm, count(*) AS n FROM processes GROUP BY vm ORDER BY vm")
        assert [row.vm for row in rows] == sorted([images.raw.name, images.elf.name]) and rows[0].n == rows[1].n > 10
        assert len(guests) == 2 and {one.name for one in guests} == {row.vm for row in rows}
        assert guests[images.raw.name].kernel.text == guests[images.elf.name].kernel.text
    with pytest.raises(package.UsageError):
        package.open([images.raw, images.raw])


def test_errors(package, image, images, tmp_path):
    with pytest.raises(package.UsageError, match="no such column: pdi") as caught:
        image.query("SELECT pdi FROM processes")
    assert caught.value.code == "usage" and isinstance(caught.value, ValueError) and caught.value.address is None
    assert pickle.loads(pickle.dumps(caught.value)).reason == caught.value.reason
    with pytest.raises(package.Error):
        package.open(str(tmp_path / "nothing"))
    with pytest.raises(package.UsageError):
        package.open([])
    for limits in ({"rows": 3}, {"memory": 4096}, {"time": 0.2, "sql": RUNAWAY}):
        with pytest.raises(package.LimitError):
            image.query(limits.pop("sql", "SELECT * FROM symbols"), **limits)
    assert len(image.query("SELECT pid FROM processes LIMIT 3", rows=3)) == 3, "it goes on after errors"
    with pytest.raises(package.UsageError):
        image.query("SELECT 1", time=0)
    other = package.open(images.raw)
    task = other.variable("init_task", "task_struct")
    other.close()
    other.close()
    for ask in (lambda: other.query("SELECT 1"), lambda: task.pid, other.verify):
        with pytest.raises((package.UsageError, AttributeError), match="closed"):
            ask()


def test_images_stand_still(image):
    with image.paused() as same, image.paused():
        assert same is image and image.query("SELECT count(*) AS n FROM processes")[0].n > 10
    assert image.query("SELECT 1")[0][0] == 1


def test_other_threads_run_and_interrupt(package, image):
    """Would the interpreter be held, nobody could count meanwhile, nor interrupt."""
    ticks, stop = [], threading.Event()

    def count():
        while not stop.wait(0.01):
            ticks.append(time.monotonic())
            if len(ticks) >= 20:
                image.interrupt()

    thread = threading.Thread(target=count)
    thread.start()
    try:
        with pytest.raises(package.CancelledError):
            image.query(RUNAWAY, time=30)
    finally:
        stop.set()
        thread.join()
    assert len(ticks) >= 20
    assert image.query("SELECT 1")[0][0] == 1


def test_threads_take_turns(image):
    counts = []

    def ask():
        for _ in range(5):
            counts.append(image.query("SELECT count(*) AS n FROM processes")[0].n)
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counts) == 20 and len(set(counts)) == 1


def test_keyboard_interrupt(image):
    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer.start()
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            image.query(RUNAWAY, time=30)
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - began < 10
    assert image.query("SELECT 1")[0][0] == 1


def test_the_example_of_the_document(package, images, vitrine, tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    program = tmp_path / "example.py"
    program.write_text(example, encoding="utf-8")
    done = subprocess.run(["/usr/bin/python3", "-B", str(program), str(images.raw)], capture_output=True, check=False, timeout=60,
                          env=vitrine.environment(PYTHONPATH=str(PACKAGE), PYTHONIOENCODING="utf-8:surrogateescape"))
    assert done.returncode == 0, done.stderr.decode()
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    assert lines[0].split()[0] == images.truth.release and re.match(r"1 \S+ 0xffff[0-9a-f]{12}$", lines[1])
    assert lines[-1] == "linux_banner+0x8" and re.match(r"\d+ processes$", lines[-3]) and lines[-2].startswith("init 1 ")
    assert package


@pytest.mark.guests("k61")
def test_a_running_guest(package, guest, target, vitrine):
    with package.open(target, cache_dir=vitrine.cache) as running:
        assert running.kernel.release == guest.truth.release
        result = running.query("SELECT pid FROM processes")
        assert {row.pid for row in result} >= set(guest.truth.processes)
        with running.paused():
            first = running.query("SELECT count(*) FROM processes p JOIN kernel_modules m")
            jiffies = running.variable("jiffies_64", "u64")
            before = int(jiffies)
            time.sleep(0.2)
            assert int(jiffies) == before and first.one_moment, "it stands still"
        deadline = time.monotonic() + 20
        while int(jiffies) == before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert int(jiffies) > before, "it goes on"
        running.verify()
        assert guest.pid in {machine.pid for machine in package.machines()}
