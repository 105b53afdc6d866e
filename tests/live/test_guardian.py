"""Killing Vitrine at any moment leaves the monitor and the guest running and unchanged.

Targets: the tiny KVM monitor (its vCPU threads watch their own registers and stack) and QEMU under TCG; a fifth of the kills meet the program
itself, the others a probe that does nothing but what is dangerous. Together they are 1,000; VITRINE_KILLS sets another number. Where KVM
cannot run the tiny monitor, QEMU gets its share.
"""

import contextlib
import os
import random
import signal
import subprocess
import time

import pytest
from conftest import PROGRAM
from monitors import TinyVmm, cpu_ticks, guardians, kill_at_random, probe, ram_digest, threads, tool, untouched, wait_for

KILLS = int(os.environ.get("VITRINE_KILLS", "1000"))
KEPT = {"corrupt": 0, "other": 0}
COMMANDS = {"paused": ("ps", "--paused"), "registers": ("vcpus",), "anew": ("info", "--no-cache")}


def assert_vmm_as_before(vmm: TinyVmm, before: dict, masks: dict) -> None:
    assert vmm.process.poll() is None
    assert wait_for(lambda: not untouched(vmm.pid)), untouched(vmm.pid)
    assert {tid: facts["blocked"] for tid, facts in threads(vmm.pid).items() if tid in masks} == masks
    now = vmm.ask()
    assert {name: now[name] for name in KEPT} == KEPT, now
    assert now["returns"] == now["interrupted"], now
    assert wait_for(lambda: vmm.ask()["counter"] > max(now["counter"], before["counter"])), "the guest stands still"


def running(guest) -> str:
    with guest.qmp() as qmp:
        return qmp("query-status")["status"]


@pytest.fixture(name="vmm")
def tiny_vmm():
    """For one test: its processor never rests."""
    with TinyVmm(vcpus=1) as vmm:
        yield vmm


@pytest.mark.parametrize("kind,share,seed", [("inject", 0.24, 1), ("freeze", 0.08, 2), ("mixed", 0.16, 3)])
def test_killed_during_injections_and_freezes(guest_pool, kind, share, seed):
    rounds = int(KILLS * share)
    try:
        vmm = TinyVmm(vcpus=1)
    except pytest.skip.Exception as reason:
        print(f"{reason}: QEMU gets these kills")
        kill_beside_qemu(guest_pool.get("k61"), {"inject": "state"}.get(kind, kind), rounds, seed)
        return
    with vmm:
        before = vmm.ask("sum")
        masks = {tid: facts["blocked"] for tid, facts in threads(vmm.pid).items()}
        figures = kill_at_random(["register_probe", "storm", vmm.pid, kind, "--kvm"], rounds,
                                 lambda _: assert_vmm_as_before(vmm, before, masks), seed=seed)
        assert figures["with_guardian"] > rounds / 3, "most kills came before anything was begun"
        assert vmm.ask("sum")["checksum"] == before["checksum"], "guest memory has changed"
        assert_vcpu_as_before(vmm)


def assert_vcpu_as_before(vmm: TinyVmm) -> None:
    state = probe("read", vmm.pid, "--kvm", "--all")["vcpus"][0]
    assert (state["cr3"], state["lstar"], state["gpr"][15]) == (vmm.facts["cr3"], vmm.facts["lstar"], 0x1122334455667788)


def assert_qemu_as_before(guest, number: int, status: str = "running") -> None:
    assert guest.alive
    assert wait_for(lambda: not untouched(guest.pid)), untouched(guest.pid)
    assert running(guest) == status, f"round {number}"


def assert_nothing_left(guest) -> None:
    with guest.qmp() as qmp:
        assert qmp("query-fdsets") == [], "descriptors were left in QEMU"
    used = cpu_ticks(guest.pid)
    guest.registers()
    assert wait_for(lambda: cpu_ticks(guest.pid) > used), "QEMU stands still"


def kill_beside_qemu(guest, kind: str, rounds: int, seed: int) -> None:
    """A probe that pauses or reads without end, killed again and again."""
    socket = [] if kind == "freeze" else ["--qmp", guest.qmp_path]
    figures = kill_at_random(["register_probe", "storm", guest.pid, kind, *socket], rounds,
                             lambda number: assert_qemu_as_before(guest, number), seed=seed)
    assert figures["with_guardian"] > rounds / 3
    assert_nothing_left(guest)


@pytest.mark.guests("k61")
@pytest.mark.parametrize("kind,share,seed", [("qmp", 0.16, 4), ("state", 0.08, 5), ("freeze", 0.08, 6)])
def test_killed_during_pauses_of_qemu(guest, kind, share, seed):
    kill_beside_qemu(guest, kind, int(KILLS * share), seed)


def running_time_ms(command, env) -> float:
    """How long it takes, undisturbed: the median of some runs."""
    def once() -> float:
        begin = time.monotonic()
        subprocess.run(list(map(str, command)), check=True, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=60)
        return 1000 * (time.monotonic() - begin)
    return sorted(once() for _ in range(5))[2]


@pytest.mark.guests("k61")
@pytest.mark.parametrize("name,share,seed", [("paused", 0.1, 7), ("registers", 0.05, 8), ("anew", 0.05, 9)])
def test_the_program_itself_is_killed(vitrine, guest, name, share, seed):
    """At any moment of its real running time."""
    command, env = [PROGRAM, *COMMANDS[name], f"qemu:{guest.pid}"], vitrine.environment()
    rounds = int(KILLS * share)
    figures = kill_at_random(command, rounds, lambda number: assert_qemu_as_before(guest, number), seed=seed, env=env,
                             longest_ms=running_time_ms(command, env))
    assert name != "paused" or figures["with_guardian"] > rounds / 20, "hardly a guest was paused when the program was killed"
    assert_nothing_left(guest)
    assert vitrine.rows("ps", f"qemu:{guest.pid}", "--paused")


@pytest.mark.guests("k61")
def test_not_one_byte_of_memory_changes(vitrine, guest):
    """A guest that is paused anyhow, so that nothing else can change its RAM; it stays paused too."""
    env = vitrine.environment()
    with guest.paused():
        before = ram_digest(guest)
        assert ram_digest(guest) == before
        for seed, kind in enumerate(("qmp", "state", "freeze"), 10):
            socket = [] if kind == "freeze" else ["--qmp", guest.qmp_path]
            kill_at_random(["register_probe", "storm", guest.pid, kind, *socket], 10,
                           lambda number: assert_qemu_as_before(guest, number, "paused"), seed=seed)
            assert ram_digest(guest) == before, f"guest memory has changed by {kind}"
        for seed, name in enumerate(COMMANDS, 20):
            command = [PROGRAM, *COMMANDS[name], f"qemu:{guest.pid}"]
            kill_at_random(command, 10, lambda number: assert_qemu_as_before(guest, number, "paused"), seed=seed, env=env,
                           longest_ms=running_time_ms(command, env))
            assert ram_digest(guest) == before, f"guest memory has changed by {name}"
    assert running(guest) == "running"


@contextlib.contextmanager
def storming(pid, kind):
    """A probe that pauses or reads without end, until the end of the scope."""
    with subprocess.Popen([tool("register_probe"), "storm", str(pid), kind, "--kvm"], stdout=subprocess.PIPE) as storm:
        try:
            storm.stdout.readline()
            yield
        finally:
            storm.kill()


def hold(*arguments):
    """A probe that holds a pause; returns when it does."""
    holder = subprocess.Popen([tool("register_probe"), "pause", *map(str, arguments), "--hold-ms", "20000"],  # pylint: disable=consider-using-with
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True)
    line = holder.stdout.readline()
    assert "paused" in line, line
    return holder


@pytest.mark.guests("k61")
def test_interrupt_from_the_terminal_continues_the_guest(guest):
    holder = hold(guest.pid, "--qmp", guest.qmp_path)
    with holder:
        os.killpg(holder.pid, signal.SIGINT)  # what a terminal sends: to the group in the foreground
    assert wait_for(lambda: not guardians())
    assert running(guest) == "running"


@pytest.mark.guests("k61")
def test_signals_do_not_end_a_guardian_with_a_pause_in_hand(guest):
    with hold(guest.pid, "--qmp", guest.qmp_path) as holder:
        guardian, = guardians()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(guardian, number)
        time.sleep(0.1)
        assert guardians() == [guardian]
        holder.kill()
    assert wait_for(lambda: not guardians())
    assert running(guest) == "running"


@pytest.mark.guests("k61")
def test_a_guest_that_was_paused_stays_paused(guest):
    guest.pause()
    try:
        with hold(guest.pid, "--qmp", guest.qmp_path) as holder:
            holder.kill()
        assert wait_for(lambda: not guardians())
        assert running(guest) == "paused"
        assert "time" in probe("pause", guest.pid, "--qmp", guest.qmp_path)
        assert running(guest) == "paused"
    finally:
        guest.cont()


@pytest.mark.guests("k61")
def test_registers_can_be_read_while_the_guardian_holds_the_socket(guest):
    assert probe("pause", guest.pid, "--qmp", guest.qmp_path, "--read", "--all", "--repeat", "3")["route"] == "QMP stop"
    assert running(guest) == "running"


@pytest.mark.guests("k61")
def test_a_socket_that_another_holds_is_done_without(guest):
    with guest.qmp():
        assert probe("pause", guest.pid, "--qmp", guest.qmp_path)["route"] == "monitor's threads stopped"
    assert not untouched(guest.pid)


@pytest.mark.guests("k61")
def test_killing_the_guardian_itself(guest):
    """docs/guardian.md: a freeze ends by itself; a QMP pause is ended by the owner, if that still lives."""
    with hold(guest.pid) as holder:
        assert untouched(guest.pid)
        os.kill(guardians()[0], signal.SIGKILL)
        assert wait_for(lambda: not untouched(guest.pid))
        holder.kill()
    command = [tool("register_probe"), "pause", str(guest.pid), "--qmp", guest.qmp_path, "--hold-ms", "500"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert "paused" in holder.stdout.readline()
        os.kill(guardians()[0], signal.SIGKILL)
        holder.communicate(timeout=20)
    assert running(guest) == "running"


@pytest.mark.parametrize("kind,rounds,most", [("inject", 60, 1), ("freeze", 30, 0)])
def test_killing_the_guardian_at_random_moments(vmm, kind, rounds, most):
    """docs/guardian.md: with threads stopped nothing is lost. While registers are read, before or after a call, this may leave some bytes
    below the stack changed; inside, the vCPU thread takes the ioctl's result for that of KVM_RUN, once. Neither the guest's memory nor its
    registers change, and the monitor lives."""
    before = last = vmm.ask("sum")
    chance = random.Random(9)
    for number in range(rounds):
        with subprocess.Popen([tool("register_probe"), "storm", str(vmm.pid), kind, "--kvm"], stdout=subprocess.PIPE, text=True) as storm:
            guardian = int(storm.stdout.readline())
            time.sleep(chance.uniform(0, 0.02))
            os.kill(guardian, signal.SIGKILL)
            storm.kill()
        assert wait_for(lambda: not guardians())
        assert vmm.process.poll() is None, f"{vmm.process.returncode} {vmm.process.stderr.read()}"
        assert wait_for(lambda: not untouched(vmm.pid)), untouched(vmm.pid)
        assert wait_for(lambda: vmm.ask()["counter"] > last["counter"])
        now = vmm.ask()
        assert 0 <= now["other"] - last["other"] <= most, f"round {number}: one kill, false results from {last['other']} to {now['other']}"
        # What a kill changed of the stack is found when KVM_RUN returns the next time, in the next round perhaps.
        assert now["corrupt"] <= most * (number + 1), f"round {number}: {now['corrupt']} changes by {number + 1} kills"
        assert now["returns"] == now["interrupted"] + now["other"], now
        last = now
    assert_vcpu_as_before(vmm)
    assert vmm.ask("sum")["checksum"] == before["checksum"]
    print(f"guardian killed {rounds} times: {last['other']} false results, {last['corrupt']} changed registers or bytes")


@pytest.mark.parametrize("kind,rounds", [("freeze", 30), ("mixed", 15)])
def test_a_monitor_that_ends_meanwhile(vmm, kind, rounds):
    """Killed while its threads are held, several at once or one in a call: it ends for its parent too, and the guardian lets go."""
    del vmm
    for number in range(rounds):
        with TinyVmm(vcpus=2) as short_lived, storming(short_lived.pid, kind):
            time.sleep(0.01 + 0.001 * number)
            short_lived.process.kill()
            short_lived.process.wait(timeout=10)
            assert probe("read", short_lived.pid, "--kvm")["error"]
        assert wait_for(lambda: not guardians()), f"round {number}"
