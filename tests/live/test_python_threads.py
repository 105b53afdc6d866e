"""The Python package with threads, signals, forks, what is let go of, and a guest that runs."""

import contextlib
import gc
import os
import signal
import threading
import time

import pytest
from python_package import RUNAWAY, imported, opened, run_program  # noqa: F401  pylint: disable=unused-import

pytestmark = pytest.mark.guests("k61")


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


def test_a_child_forked_amid_a_query_ends_at_once(images, vitrine):
    """It has none of the threads that its parent would wait for."""
    program = f"""
import os, threading, time, vitrine
guest = vitrine.open({str(images.raw)!r})
def ask():
    try:
        guest.query({RUNAWAY!r})
    except vitrine.CancelledError:
        pass
asking = threading.Thread(target=ask)
asking.start()
time.sleep(0.3)
child = os.fork()
if child == 0:
    raise SystemExit(7)
began = time.monotonic()
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
took = time.monotonic() - began
guest.interrupt()
asking.join()
assert status == 7 and took < 5, (status, took)
"""
    done = run_program(program, vitrine)
    assert done.returncode == 0, done.stderr.decode()


def test_a_query_whose_thread_is_refused_leaves_nothing_behind(images, vitrine):
    """Neither does it count as running, nor does a later interrupt meet what close() let go of."""
    program = f"""
import os, resource, vitrine
guest = vitrine.open({str(images.raw)!r})
before = len(guest.query("SELECT pid FROM processes"))
if os.getuid() == 0:
    os.setresuid(65534, 65534, 0)  # root has no such limit
limit = resource.getrlimit(resource.RLIMIT_NPROC)
resource.setrlimit(resource.RLIMIT_NPROC, (0, limit[1]))
try:
    guest.query("SELECT 1")
except vitrine.LimitError as error:
    print(error)
guest.interrupt()
resource.setrlimit(resource.RLIMIT_NPROC, limit)
assert len(guest.query("SELECT pid FROM processes")) == before
resource.setrlimit(resource.RLIMIT_NPROC, (0, limit[1]))
try:
    guest.query("SELECT 1")
except vitrine.LimitError as error:
    print(error)
guest.close()
guest.interrupt()
"""
    done = run_program(program, vitrine)
    assert done.returncode == 0 and done.stdout.count(b"thread") == 2, done.stderr.decode()

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


def test_a_guest_that_ended(package, boot, vitrine):
    guest = boot()
    with package.open(f"qemu:{guest.pid}", cache_dir=vitrine.cache) as running:
        rows = running.query("SELECT pid FROM processes")
        assert {row.pid for row in rows} >= set(guest.truth.processes)
        guest.stop()
        for ask in (running.verify, lambda: running.query("SELECT pid FROM processes")):
            with pytest.raises(package.StaleError) as caught:
                ask()
            assert caught.value.code == "stale" and caught.value.reason
        with pytest.raises(package.Error):
            package.open(running.target, cache_dir=vitrine.cache)
        assert len(rows) > 10
