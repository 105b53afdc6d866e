"""Targets and tools for the tests of registers and pausing: the tiny KVM monitor, the register probe, and looks at
processes from outside."""

import contextlib
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


def guardians() -> list:
    """Guardian processes of the probe that are alive."""
    return children_named("vitrine-guard", os.path.realpath(tool("register_probe")))


def untouched(pid: int) -> str:
    """Empty when no thread of the process is traced or stopped, else what is wrong."""
    wrong = {tid: facts for tid, facts in threads(pid).items() if facts["tracer"] or facts["state"] in "tT"}
    return f"process {pid}: {wrong}" if wrong else ""


def kill_at_random(arguments, rounds: int, check, longest_ms: float = 40.0, seed: int = 1) -> dict:
    """Starts the probe, kills it with SIGKILL at a random moment, waits for its guardian to finish, checks. Gives figures."""
    chance = random.Random(seed)
    slowest = 0.0
    with_guardian = 0
    for number in range(rounds):
        with subprocess.Popen([tool("register_probe"), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as started:
            time.sleep(chance.uniform(0, longest_ms) / 1000)
            with_guardian += bool(guardians())
            started.send_signal(signal.SIGKILL)
            killed = time.monotonic()
        assert wait_for(lambda: not guardians()), f"round {number}: the guardian is still there: {guardians()}"
        slowest = max(slowest, time.monotonic() - killed)
        check(number)
    figures = {"rounds": rounds, "with_guardian": with_guardian, "slowest_undo_ms": round(slowest * 1000, 1)}
    print(json.dumps({"killed": arguments[2], **figures}), file=sys.stderr)
    return figures
