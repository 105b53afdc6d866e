"""Guests that do not hold still: processes that come and go, busy processors, pauses, restarts and sudden ends. What is
answered must be true, or it must be an error that says so."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import time

import pytest
from conftest import guests, start
from monitors import tool
from truth_compare import Comparison, of_guest
from truth_processes import EXPLANATIONS, compare_rows, expected_process, found_row
from vitrine_guests import qemu_backport
from vitrine_guests.truth import read_header

PS_RUNS = 200
PROBE_RUNS = 300
EXIT_UNREACHABLE, EXIT_NO_KERNEL = 3, 4
COME_AND_GO = re.compile(r"short-\d+|load-fork")


def comes_and_goes(row) -> bool:
    """Made by the load, or a worker that the kernel made for it."""
    return bool(COME_AND_GO.fullmatch(row["comm"] or "")) or (row["comm"] or "").startswith("kworker/")


def check_row(row, by_pid, last_start):
    """What holds for any process of any guest at any moment."""
    assert 0 < row["pid"] < 1 << 22 and row["state"] in set("RSDTtXZPI"), row
    assert row["parent"] in by_pid or row["parent"] == 0 or comes_and_goes(row), f"no parent: {row}"
    parent = by_pid.get(row["parent"])
    assert parent is None or parent["start_ns"] <= row["start_ns"] or row["parent"] == 1, f"older than its parent: {row}"
    assert 0 <= row["start_ns"] <= last_start + 600 * 10**9, row
    # One that is just released counts no thread any more, in /proc as well.
    assert row["threads"] >= (0 if row["state"] in "XZ" else 1) and -20 <= row["nice"] <= 19, row
    assert row["kernel_thread"] == (row["parent"] == 2 or row["pid"] == 2), row
    if COME_AND_GO.fullmatch(row["comm"] or ""):
        assert row["uid"] == 0 and row["gid"] == 0 and row["cmdline"] in ("/init", "", None) and row["threads"] <= 1, row
        assert row["session"] in (by_pid[1]["session"], 0) and row["root"] in ("/", None), row


def check_list(rows, truth):
    """One process list under load: all that stay are in it, once, as they were; all others are possible."""
    by_pid = {row["pid"]: row for row in rows}
    assert len(by_pid) == len(rows), "a process twice"
    assert len({row["task"] for row in rows}) == len(rows), "a task twice"
    staying = {pid: process for pid, process in truth.processes.items() if not process.comm.startswith(b"kworker/")}
    missing = staying.keys() - by_pid.keys()
    assert not missing, f"not listed: {sorted(missing)}"
    last_start = int(truth.clocks["boottime"] * 1e9)
    for row in rows:
        check_row(row, by_pid, last_start)
        if row["pid"] not in truth.processes:
            assert comes_and_goes(row), f"never was there: {row}"
    for pid, process in staying.items():
        assert by_pid[pid]["start_ns"] // 10**7 == process.start_ticks, (pid, by_pid[pid])
        assert by_pid[pid]["parent"] == process.ppid, (pid, by_pid[pid])
    return sum(COME_AND_GO.fullmatch(row["comm"] or "") is not None for row in rows)


@pytest.fixture(scope="class")
def busy():
    """A guest whose processes come and go on two processors: ended before others boot beside it."""
    with start(guests.GuestConfig(kernel="k61", smp=2, backend="anon", append="vitrine.load=fork")) as guest:
        yield guest


class TestProcessesComeAndGo:
    """Lists of a guest that does not hold still."""

    def test_list_while_processes_come_and_go(self, vitrine, busy, record_property):
        """Whole runs of the program, each for itself."""
        truth, came, torn, retries = busy.truth, 0, 0, 0
        for _ in range(PS_RUNS):
            done = vitrine("table", "processes", f"qemu:{busy.pid}", "--format", "json", "--verbose")
            complaints = done.stderr.decode("utf-8", "replace")
            assert done.returncode == 0, complaints
            walk = re.search(r"note: processes: (\w+)(?:, (\d+) retr)?", complaints)
            retries += int(walk[2] or 0) if walk else 0
            if walk and walk[1] != "complete":
                torn += 1  # said so
                continue
            came += check_list(json.loads(done.stdout), truth)
        account = f"{PS_RUNS} lists, {came} processes of the load in them, {retries} retries, {torn} torn and said so"
        record_property("compared", account)
        print(account)
        assert came > PS_RUNS and torn <= PS_RUNS // 20, account

    def test_one_reader_while_processes_come_and_go(self, busy, record_property):
        """The same reader again and again: nothing of an earlier look may be left in a later one."""
        done = subprocess.run([tool("guest_probe"), "processes", f"qemu:{busy.pid}", str(PROBE_RUNS)], capture_output=True, check=False,
                              timeout=120)
        assert done.returncode == 0, done.stderr
        lists = [json.loads(line) for line in done.stdout.splitlines()]
        complete = [item for item in lists if item["end"] == "complete"]
        came = sum(check_list(fill(item["rows"]), busy.truth) for item in complete)
        retries = sum(item["retries"] for item in lists)
        account = f"{len(lists)} lists, {came} processes of the load in them, {retries} retries, {len(lists) - len(complete)} torn"
        record_property("compared", account)
        print(account)
        assert len(lists) == PROBE_RUNS and len(complete) >= PROBE_RUNS * 19 // 20, account
        assert len({row["pid"] for item in complete for row in item["rows"]}) > len(busy.truth.processes) + PROBE_RUNS // 4


def fill(rows) -> list:
    """The probe leaves out what is NULL."""
    names = {name for row in rows for name in row}
    return [{name: row.get(name) for name in names} for row in rows]


def compare_all(guest, found, record_property):
    """Every process, kernel threads too, and no others."""
    tasks = guest.truth.processes
    comparison = Comparison(of_guest(guest), EXPLANATIONS)
    compare_rows(comparison, {pid: expected_process(process) for pid, process in tasks.items()}, found, tasks)
    comparison.finish(record_property, at_least=150 * 25)


def test_processors_busy_in_user_mode(vitrine, boot, record_property):
    """With page-table isolation: the processors' own page tables do not map the kernel."""
    guest = boot(kernel="k61gen", memory_mib=512, cpu="Skylake-Client-v1", smp=2, append="vitrine.spin")
    target = f"qemu:{guest.pid}"
    levels = [row["cpl"] for _ in range(10) for row in vitrine.rows("vcpus", target)]
    assert levels.count(3) >= 10, f"privilege levels seen: {levels}"
    info = vitrine.info(target)
    assert info["kernel"]["page_table_isolation"] and info["kernel"]["found_by"] == "vCPU registers", info["kernel"]
    spinning = {}
    for options in ((), ("--no-registers",), ("--no-qmp", "--no-cache")):
        rows = vitrine.rows("table", "processes", target, *options)
        found = {row["pid"]: found_row(row) for row in rows}
        spinning = {row["comm"]: row for row in rows if (row["comm"] or "").startswith("spin-")}
        assert spinning.keys() == {"spin-0", "spin-1"} and all(row["state"] == "R" for row in spinning.values())
        assert len(found) == len(rows), "a process twice"
        began_later = {row["pid"] for row in spinning.values()}
        compare_all(guest, {pid: row for pid, row in found.items() if pid not in began_later}, record_property)


def allocated(guest) -> dict:
    """What the host keeps for this guest's RAM."""
    found = {}
    for entry in sorted(pathlib.Path(f"/proc/{guest.pid}/fd").iterdir()):
        with contextlib.suppress(OSError):
            name = os.readlink(entry)
            if name.startswith("/memfd:memory-backend") or name == getattr(guest, "_ram_path", None):
                found[name + entry.name] = os.stat(entry).st_blocks
    rss = re.findall(r"^Rss:\s+(\d+) kB", pathlib.Path(f"/proc/{guest.pid}/smaps_rollup").read_text(encoding="ascii"), re.M)
    return {**found, "rss": int(rss[0])}


def test_looking_costs_the_host_nothing(empty_cache, guest):
    """Every way of finding the kernel, every table: not one page more is allocated, in shared memory or in QEMU."""
    looks = [("info",), ("ps", "--no-registers"), ("ps", "--no-registers", "--no-cache"), ("ps", "--no-qmp")]
    tables = [row["name"] for row in empty_cache.rows("schema") if row["kind"] == "table"]
    assert len(tables) > 15
    with guest.paused():
        before = allocated(guest)
        for command, *options in looks:
            empty_cache.ok(command, f"qemu:{guest.pid}", "--format", "json", *options)
        for table in tables:
            done = empty_cache("table", table, f"qemu:{guest.pid}", "--format", "json")
            assert done.returncode == 0 or (table == "vcpus" and b"gives no CPU registers" in done.stderr), done.stderr
        after = allocated(guest)
    # QEMU itself may need a page to answer on its socket; a guest's RAM would be many.
    assert after.pop("rss") - before.pop("rss") < 512, (before, after)
    assert after.keys() == before.keys() and all(after[name] <= before[name] for name in before), (before, after)
    if guest.config.backend in ("memfd-shared", "file-shared", "numa2"):
        assert before and sum(before.values()) * 512 < guest.config.memory_mib << 20, "no hole to be filled"


@pytest.mark.guests("k61", "k7", "k510")
def test_stopped_guest(vitrine, guest):
    """Stopped through the monitor, or the whole monitor stopped (then its socket does not answer)."""
    quiet = {row["pid"]: row["start_ns"] for row in vitrine.rows("table", "processes", f"qemu:{guest.pid}")}
    with guest.paused():
        paused = {row["pid"]: row["start_ns"] for row in vitrine.rows("table", "processes", f"qemu:{guest.pid}")}
    os.kill(guest.pid, signal.SIGSTOP)
    try:
        stopped = {row["pid"]: row["start_ns"] for row in vitrine.rows("table", "processes", f"qemu:{guest.pid}")}
    finally:
        os.kill(guest.pid, signal.SIGCONT)
    for rows in (paused, stopped):
        staying = {pid for pid in quiet if pid in guest.truth.processes}
        assert staying <= rows.keys() and all(rows[pid] == quiet[pid] for pid in staying)


def one_clear_line(done) -> str:
    """The message of a run that failed: one line, a hint perhaps, nothing on stdout that could be taken for an answer."""
    lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if not line.startswith("  hint: ")]
    errors = [line for line in lines if line.startswith("vitrine: ")]
    assert len(errors) == 1 and errors[0] == lines[-1] and len(errors[0]) < 1000, lines
    return errors[0]


class Boots:
    """Tells answers of one boot of a guest from those of another: with KASLR no task lies twice at one place."""

    def __init__(self):
        self.known = []

    def learn(self, rows, truth):
        """A list taken while the guest was quiet."""
        self.known.append({(row["pid"], row["task"]) for row in rows if row["pid"] in truth.processes})

    def of(self, rows) -> set:
        """The boots that rows of this list belong to."""
        have = {(row["pid"], row["task"]) for row in rows}
        return {number for number, tasks in enumerate(self.known) if have & tasks}


def boots_written(guest) -> int:
    """How often the guest has written its truth."""
    return read_header(guest.truth_path).boots


@pytest.fixture(scope="class")
def rebooting():
    """A guest that reboots by itself, once, some seconds after it has written its truth."""
    with start(guests.GuestConfig(kernel="k61", append="vitrine.reboot=2")) as guest:
        yield guest


class TestAnotherBoot:
    """One guest: it reboots by itself, then it is reset. The order matters."""

    def test_restart_while_reading(self, vitrine, rebooting, record_property):
        """Each answer is of one boot only, or an error; the last are of the new one."""
        guest = rebooting
        target, boots, answers, errors = f"qemu:{guest.pid}", Boots(), [], []
        boots.learn(vitrine.rows("table", "processes", target), guest.truth)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            done = vitrine("table", "processes", target, "--format", "json")
            if done.returncode == 0:
                answers.append(json.loads(done.stdout))
            else:
                assert done.returncode in (EXIT_UNREACHABLE, EXIT_NO_KERNEL, 5), done.stderr
                errors.append(one_clear_line(done))
            if boots_written(guest) >= 2:
                break
        guest.wait_reboot(2)
        last = vitrine.rows("table", "processes", target)
        boots.learn(last, guest.truth)
        seen = [boots.of(rows) for rows in answers]
        account = f"{len(answers)} answers ({sum(item == {0} for item in seen)} of the first boot, {sum(item == {1} for item in seen)} of " \
                  f"the second), {len(errors)} errors"
        record_property("compared", account)
        print(account)
        print("\n".join(sorted(set(errors))[:5]))
        assert not [item for item in seen if len(item) > 1], "answers mixed of two boots"
        assert boots.of(last) == {1}
        changes = [next(iter(item)) for item in seen if item]
        assert changes == sorted(changes), "an answer of the first boot after one of the second"

    def test_reset_machine_has_no_kernel(self, vitrine, rebooting):
        """Right after a reset the old kernel still lies in memory, whole; but it does not run."""
        guest = rebooting
        target, boots, before = f"qemu:{guest.pid}", Boots(), boots_written(guest)
        boots.learn(vitrine.rows("table", "processes", target), guest.truth)
        with guest.qmp() as qmp:
            qmp("stop")
            qmp("system_reset")
        done = vitrine("table", "processes", target, "--format", "json")
        with guest.qmp() as qmp:
            qmp("cont")
        assert done.returncode == EXIT_NO_KERNEL, f"exit status {done.returncode}, {len(done.stdout)} bytes: the kernel before the reset"
        one_clear_line(done)
        guest.wait_reboot(before + 1)
        rows = vitrine.rows("table", "processes", target)
        assert boots.of(rows) == set() and {row["pid"] for row in rows} >= {1, 2, guest.truth.collector}


def test_guest_that_ends_while_it_is_read(vitrine, boot, record_property):
    """Killed at some moment of many runs: each is a whole answer, or exit status 3 and one clear line."""
    guest = boot(kernel="k61", backend="memfd-shared")
    target, truth = f"qemu:{guest.pid}", guest.truth
    commands = [("table", "processes"), ("symbols",), ("modules",), ("info", "--no-cache"), ("ps", "--no-registers", "--no-cache")]

    def read_until_it_ends(number):
        done = []
        for _ in range(400):
            command, *options = commands[number % len(commands)]
            words = (command, *options, target) if command != "table" else ("table", "processes", target)
            done.append(vitrine(*words, "--format", "json"))
            if done[-1].returncode != 0:
                break
        return done

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        readers = [pool.submit(read_until_it_ends, number) for number in range(10)]
        time.sleep(random.uniform(0.8, 1.5))
        os.kill(guest.pid, signal.SIGKILL)
        runs = [done for reader in readers for done in reader.result()]
    failed = [done for done in runs if done.returncode != 0]
    messages = sorted({one_clear_line(done).replace(str(guest.pid), "PID") for done in failed})
    account = f"{len(runs)} runs, {len(failed)} after or at the end: {messages}"
    record_property("compared", account)
    print(account)
    assert {done.returncode for done in failed} == {EXIT_UNREACHABLE}, [(done.returncode, done.stderr) for done in failed]
    assert len(failed) == len(readers)
    for done in runs:
        if done.returncode == 0 and done.args[1] == "table":
            assert {row["pid"] for row in json.loads(done.stdout)} >= set(truth.processes)


@pytest.mark.guests("k61", "k612")
def test_same_answer_by_every_name(vitrine, guest):
    """By process, by name, by socket."""
    targets = [f"qemu:{guest.pid}", f"qemu:{guest.name}", f"qmp:{guest.qmp_path}"]
    answers = [vitrine.rows("table", "processes", target, "--columns", "pid,start_ns,task,comm,parent") for target in targets]
    assert answers[0] == answers[1] == answers[2] and len(answers[0]) >= len(guest.truth.processes) - 5


def test_newer_qemu(vitrine, boot, record_property):
    """QEMU 10, if it could be had."""
    program = qemu_backport.cached()
    if not program:
        pytest.skip("QEMU 10 is not available: guests/fetch --qemu10 says why")
    guest = boot(kernel="k612", qemu=str(program), backend="memfd-shared")
    truth = guest.truth
    for options in ((), ("--no-qmp",)):
        rows = vitrine.rows("table", "processes", f"qemu:{guest.pid}", *options)
        found = {row["pid"]: found_row(row) for row in rows}
        assert len(found) == len(rows), "a process twice"
        compare_all(guest, found, record_property)
    lines = [(int(row["address"], 16), row["type"], row["name"], row["module"] or "")
             for row in vitrine.rows("symbols", f"qemu:{guest.pid}")]
    assert lines == [(item.address, item.type, item.name, item.module) for item in truth.kallsyms]
