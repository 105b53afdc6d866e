"""Targets and tools for the tests of registers and pausing: the tiny KVM monitor, the register probe, and looks at
processes from outside."""

import contextlib
import functools
import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

PROJECT = pathlib.Path(__file__).resolve().parents[2]
CANNOT_RUN = 77  # tiny_vmm: this machine's KVM cannot run its guest


@functools.cache
def tool(name: str) -> str:
    """A program of the build. VITRINE_TOOLS names the build folder; by default the newest below build/."""
    given = os.environ.get("VITRINE_TOOLS")
    roots = [pathlib.Path(given)] if given else [PROJECT / "build"]
    found = [path for root in roots for path in root.glob(f"**/tests/*/{name}") if os.access(path, os.X_OK) and path.is_file()]
    if not found:
        pytest.fail(f"{name} is not built (looked below {roots[0]}; VITRINE_TOOLS names another folder)", pytrace=False)
    return str(max(found, key=lambda path: path.stat().st_mtime))


def probe(*arguments, timeout: float = 60.0):
    """Runs register_probe; its last line, parsed."""
    done = subprocess.run([tool("register_probe"), *map(str, arguments)], capture_output=True, text=True, check=False, timeout=timeout)
    assert done.stdout.strip(), f"register_probe {arguments}: {done.returncode} {done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


class TinyVmm:
    """tests/kvm_vmm/tiny_vmm: a monitor that is not QEMU."""

    def __init__(self, vcpus: int = 1, memory: str = "anonymous", forbidden: int = 0):
        self.process = subprocess.Popen([tool("tiny_vmm"), str(vcpus), memory, str(forbidden)], stdin=subprocess.PIPE,  # pylint: disable=consider-using-with
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)
        self.facts = {}
        for line in self.process.stdout:
            if line.strip() == "ready":
                break
            name, _, value = line.strip().partition("=")
            self.facts[name] = int(value, 0)
        else:
            complaint = self.process.stderr.read().strip()
            status = self.process.wait()
            if status == CANNOT_RUN:
                pytest.skip(f"KVM cannot run the tiny guest here: {complaint}")
            pytest.fail(f"tiny_vmm: status {status}: {complaint}", pytrace=False)
        self.pid = self.process.pid

    def ask(self, word: str = "") -> dict:
        """What the monitor says about itself now."""
        self.process.stdin.write(word + "\n")
        line = self.process.stdout.readline()
        assert line, f"the monitor has ended: {self.process.wait()} {self.process.stderr.read()}"
        return {name: int(value, 0) for name, value in (item.split("=") for item in line.split())}

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()


def threads(pid: int) -> dict:
    """For each thread of a process: state, tracer and blocked signals."""
    found = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            fields = dict(line.split(":\t", 1) for line in (task / "status").read_text(errors="replace").splitlines() if ":\t" in line)
            found[int(task.name)] = {"state": fields["State"][0], "tracer": int(fields["TracerPid"]), "blocked": fields["SigBlk"],
                                     "name": fields["Name"]}
    return found


def cpu_ticks(pid: int) -> int:
    """Processor time a process has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def children_named(name: str, session_of: str) -> list:
    """Processes of a name whose program is the given file."""
    found = []
    for folder in pathlib.Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if (folder / "comm").read_text().strip() == name and os.readlink(folder / "exe") == session_of:
                state = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
                if state != "Z":
                    found.append(int(folder.name))
    return found


def wait_for(condition, seconds: float = 5.0):
    """Waits until it is true; what it was last."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(0.002)


def guardians(program: str = "") -> list:
    """Guardian processes of a program (the probe) that are alive."""
    return children_named("vitrine-guard", os.path.realpath(program or tool("register_probe")))


def untouched(pid: int) -> str:
    """Empty when no thread of the process is traced or stopped, else what is wrong."""
    wrong = {tid: facts for tid, facts in threads(pid).items() if facts["tracer"] or facts["state"] in "tT"}
    return f"process {pid}: {wrong}" if wrong else ""


def ram_digest(guest) -> str:
    """Of all of a guest's RAM, as it lies in the monitor's private memory: one mapping of just that size."""
    size = guest.config.memory_mib << 20
    spans = [[int(word, 16) for word in line.split()[0].split("-")]
             for line in pathlib.Path(f"/proc/{guest.pid}/maps").read_text(errors="replace").splitlines()]
    place, = [first for first, end in spans if end - first == size]
    digest = hashlib.blake2b()
    with open(f"/proc/{guest.pid}/mem", "rb", buffering=0) as memory:
        for at in range(place, place + size, 1 << 20):
            memory.seek(at)
            piece = memory.read(1 << 20)
            assert len(piece) == 1 << 20
            digest.update(piece)
    return digest.hexdigest()


def has_child(pid: int) -> bool:
    """Has its first thread started a process that lives: its guardian? One small file, so that whoever asks is hardly held up."""
    try:
        return bool(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").strip())
    except OSError:
        return False


def kill_at_random(command, rounds: int, check, longest_ms: float = 40.0, seed: int = 1, env=None) -> dict:
    """Starts a program (of the build, or by its path), kills it with SIGKILL at a random moment, waits for its guardian to finish, checks;
    until it was killed so often: a run that had ended by itself does not count. Gives figures. Hardly anything is looked at between the start and the kill: that would spare the earliest moments."""
    chance = random.Random(seed)
    words = [str(word) for word in command]
    program = words[0] if "/" in words[0] else tool(words[0])
    slowest, with_guardian, earliest, killed_runs, number = 0.0, 0, longest_ms, 0, 0
    while killed_runs < rounds:
        assert number < 4 * rounds, f"most runs had ended when they were to be killed: {number - killed_runs} of {number}"
        moment = chance.uniform(0, longest_ms)
        with subprocess.Popen([program, *words[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              env=env) as started:
            time.sleep(moment / 1000)
            left = has_child(started.pid)
            started.send_signal(signal.SIGKILL)
            killed = time.monotonic()
            said = started.stdout.read()
            killed_runs += started.wait() == -signal.SIGKILL
        with_guardian += left or (words[1] == "storm" and bool(said))  # a storm begins with its guardian's number
        earliest = min(earliest, moment)
        assert wait_for(lambda: not guardians(program)), f"round {number}: the guardian is still there: {guardians(program)}"
        slowest = max(slowest, time.monotonic() - killed)
        check(number)
        number += 1
    figures = {"rounds": rounds, "with_guardian": with_guardian, "ended_before": number - rounds, "earliest_ms": round(earliest, 2),
               "longest_ms": round(longest_ms, 1), "slowest_undo_ms": round(slowest * 1000, 1)}
    print(json.dumps({"killed": words[1:], **figures}), file=sys.stderr)
    return figures
