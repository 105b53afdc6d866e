"""The Python package on an image of a real guest: answers, what is said of them, objects, errors, threads."""

import contextlib
import gc
import json
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


def test_text_of_a_guest_is_kept_whatever_it_is(image, images):
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
    assert images


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
    assert task["__state"] == task.__getattr__("__state")
    banner = image.variable("linux_banner", "char")
    assert banner.address_of_().string_() == image.kernel.banner or image.kernel.banner in banner.address_of_().string_()
    check_what_objects_refuse(package, image, task)


def test_lists(package, image):
    rows = image.query("SELECT pid, parent, task FROM processes WHERE pid > 0")
    init_task = image.variable("init_task", "task_struct")
    assert {int(task.pid): task.address_ for task in init_task.tasks.list_("task_struct", "tasks")} == {row.pid: row.task for row in rows}
    init = image.object("task_struct", next(row.task for row in rows if row.pid == 1))
    children = init.children.list_("task_struct", "sibling")
    assert {child.address_ for child in children} == {row.task for row in rows if row.parent == 1} and children
    modules = image.variable("modules", "struct list_head").list_("struct module", "list")
    assert [str(module["name"]) for module in modules] == [row.name for row in image.query("SELECT name FROM kernel_modules")]
    # A process is on the list of its pid: struct pid.tasks[PIDTYPE_PID] is an hlist_head.
    (found,) = init.thread_pid.tasks[0].list_("task_struct", "pid_links[0]")
    assert found == init
    with pytest.raises(package.LimitError) as caught:
        init_task.tasks.list_("task_struct", "tasks", most=3)
    assert caught.value.address is not None
    with pytest.raises(package.UsageError, match="list_head"):
        init_task.comm.list_("task_struct", "tasks")
    # Begun at a node of another's: the first node does not lead back here.
    with pytest.raises(package.InconsistentError) as caught:
        image.object("list_head", init_task.tasks.address_ + 8).list_("task_struct", "tasks")
    assert caught.value.code == "inconsistent" and caught.value.address == init_task.tasks.prev.value_
    # The links of a circular list, taken for those of a list with an end, lead back and never end.
    with pytest.raises(package.InconsistentError) as caught:
        image.object("hlist_head", init_task.tasks.address_).list_("task_struct", "tasks")
    assert caught.value.code == "cycle"


def test_bytes_and_what_lives_there(package, image):
    banner = image.symbols.address_of("linux_banner")
    assert image.read(banner, 14) == b"Linux version "
    offset = image.kernel.text_physical - image.kernel.text
    assert image.read(banner + offset, 14, physical=True) == b"Linux version "
    assert image.read(banner, 0) == b""
    with pytest.raises(package.FaultError) as caught:
        image.read(0x1000, 16)
    assert caught.value.address == 0x1000 and isinstance(caught.value.address, package.Address) and "0x1000" in str(caught.value)
    with pytest.raises(package.LimitError):
        image.read(banner, 1 << 40)
    with pytest.raises(ValueError):
        image.read(-1, 1)
    facts = image.identify(banner + 3)
    assert any(fact.what == "symbol" and "linux_banner+0x3" in fact.detail and not fact.is_unknown for fact in facts)
    task = image.query("SELECT task FROM processes WHERE pid = 1")[0].task
    assert any(fact.what == "task" and "init" in fact.detail for fact in image.identify(task + 16))


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


def test_errors(package, image, images, tmp_path):
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
    other = package.open(images.raw)
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


def test_objects_keep_what_they_come_from(package, images, vitrine):
    def one():
        return package.open(images.raw, cache_dir=vitrine.cache).variable("init_task", "task_struct")
    task = one()
    gc.collect()
    assert task.comm == "swapper/0"


def test_closed_while_others_read(package, images, vitrine):
    guest = package.open(images.raw, cache_dir=vitrine.cache)
    task = guest.variable("init_task", "task_struct")
    ends = []

    def ask(question):
        with pytest.raises((package.ClosedError, package.CancelledError)) as caught:
            while True:
                question()
        ends.append(caught.type)
    threads = [threading.Thread(target=ask, args=(question,)) for question in (
        lambda: guest.query(RUNAWAY, time=30), lambda: task.comm, lambda: guest.query("SELECT * FROM processes"))]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    began = time.monotonic()
    closers = [threading.Thread(target=guest.close) for _ in range(3)]
    for thread in closers:
        thread.start()
    for thread in closers + threads:
        thread.join()
    assert time.monotonic() - began < 10 and len(ends) == 3


def test_the_interpreter_ends_while_a_thread_reads(images, vitrine):
    program = f"""
import threading, time, vitrine
guest = vitrine.open({str(images.raw)!r})
threading.Thread(target=guest.query, args=({RUNAWAY!r},), daemon=True).start()
time.sleep(0.3)
print("done")
"""
    done = run_program(program, vitrine)
    assert done.returncode == 0 and done.stdout == b"done\n", done.stderr.decode()


def test_a_forked_child_is_refused(images, vitrine):
    program = f"""
import os, vitrine
guest = vitrine.open({str(images.raw)!r})
task = guest.variable("init_task", "task_struct")
child = os.fork()
if child == 0:
    for ask in (lambda: guest.query("SELECT 1"), lambda: int(task.pid)):
        try:
            ask()
        except (vitrine.UsageError, AttributeError) as error:
            print(error)
    guest.close()
    del guest, task
    raise SystemExit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert int(task.pid) == 0 and len(guest.query("SELECT pid FROM processes")) > 10
"""
    done = run_program(program, vitrine)
    assert done.returncode == 0 and done.stdout.count(b"forked child") == 2, done.stderr.decode()


def run_program(text, vitrine, *arguments, **environment):
    return subprocess.run(["/usr/bin/python3", "-B", "-X", "dev", "-c", text, *map(str, arguments)], capture_output=True, check=False, timeout=60,
                          env=vitrine.environment(PYTHONPATH=str(PACKAGE), **environment))


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
    image.interrupt()  # of what does not run: nothing
    assert image.query("SELECT 1")[0][0] == 1


def test_an_interrupt_ends_no_later_statement(package, image):
    """Interrupts at every moment of short statements: those that come too late are lost."""
    stop = threading.Event()

    def interrupt():
        while not stop.is_set():
            image.interrupt()
            time.sleep(0.0001)
    cancelled = 0
    for _ in range(30):
        stop.clear()
        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            for _ in range(5):
                with contextlib.suppress(package.CancelledError):
                    image.query("SELECT count(*) FROM processes")
                    continue
                cancelled += 1
        finally:
            stop.set()
            thread.join()
        assert image.query("SELECT 1")[0][0] == 1
    assert cancelled > 0


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
