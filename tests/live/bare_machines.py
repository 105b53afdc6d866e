"""Machines without a kernel, and the probe that looks into them, for the tests of memory.

    def test_bytes(machine):
        guest = machine("-m", "5000", marks=[0x100000000])      # a page of pattern(0x100000000) at that address
        answer = compare_everywhere(f"qemu:{guest.pid}", guest)
"""

import functools
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import time

from monitors import tool
from vitrine_guests import qemu_backport

MIB, GIB = 1 << 20, 1 << 30
WATCHER = 54321  # a user id that owns nothing
PAGE = 4096
FIRMWARE_S = 60

QEMUS = {"installed": shutil.which("qemu-system-x86_64"), "backports": qemu_backport.cached()}


@functools.cache
def program() -> str:
    """The probe."""
    return tool("memory_probe")


def pattern(gpa: int, size: int = PAGE) -> bytes:
    """Bytes that no other address has."""
    seed = hashlib.sha256(gpa.to_bytes(8, "little")).digest()
    return (seed * (size // len(seed) + 1))[:size]


class Monitor:
    """One client of a monitor socket, machine (QMP) or human."""

    def __init__(self, path, human: bool, ended=lambda: False):
        self.human = human
        deadline = time.monotonic() + FIRMWARE_S
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(FIRMWARE_S)
            try:
                self.socket.connect(str(path))
                break
            except OSError:
                self.socket.close()
                if ended() or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        self.stream = self.socket.makefile("rwb", buffering=0)
        if human:
            self._until_prompt()
        else:
            self.stream.readline()
            self("qmp_capabilities")

    def _until_prompt(self) -> str:
        text = b""
        while not text.endswith(b"(qemu) "):
            piece = self.socket.recv(65536)
            if not piece:
                raise EOFError(text)
            text += piece
        return text.decode("utf-8", "replace")

    def __call__(self, command: str, **arguments):
        if self.human:
            self.stream.write(command.encode() + b"\n")
            return self._until_prompt()
        self.stream.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            reply = json.loads(self.stream.readline())
            if "error" in reply:
                raise RuntimeError(f"{command}: {reply['error']}")
            if "return" in reply:
                return reply["return"]

    def close(self):
        self.stream.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Machine:
    """A QEMU without a kernel. `marks`: guest-physical addresses that get a page of pattern()."""

    def __init__(self, folder: pathlib.Path, *options, qmp=True, paused=True, marks=(), uid=None, name=None, qemu=None,
                 wrapper=(), accelerator="tcg"):
        self.folder, self.qmp_path, self.human_path = folder, folder / "qmp", folder / "human"
        self.marks = tuple(marks)
        command = [*wrapper, str(qemu or QEMUS["installed"]), "-display", "none", "-nic", "none", "-accel", accelerator,
                   "-monitor", f"unix:{self.human_path},server=on,wait=off", *map(str, options)]
        command += ["-qmp", f"unix:{self.qmp_path},server=on,wait=off"] if qmp else []
        command += ["-S"] if paused else []
        command += ["-name", name] if name else []
        for gpa in self.marks:
            file = folder / f"mark-{gpa:x}"
            file.write_bytes(pattern(gpa))
            command += ["-device", f"loader,file={file},addr={gpa:#x},force-raw=on"]
        if uid is not None:
            os.chown(folder, uid, uid)
        self.log = open(folder / "log", "wb")  # pylint: disable=consider-using-with
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        user=uid, group=uid, extra_groups=[] if uid is not None else None)
        self.pid = self.process.pid
        try:
            self.human = Monitor(self.human_path, human=True, ended=lambda: self.process.poll() is not None)
        except Exception as error:
            self.stop()
            raise RuntimeError((folder / "log").read_text("utf-8", "replace")) from error

    def qmp(self) -> Monitor:
        return Monitor(self.qmp_path, human=False)

    def bytes_at(self, gpa: int, size: int) -> bytes:
        """What QEMU says is there."""
        file = self.folder / "saved"
        self.human(f'pmemsave {gpa:#x} {size:#x} "{file}"')
        data = file.read_bytes()
        assert len(data) == size
        return data

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        self.log.close()
        if hasattr(self, "human"):
            self.human.close()


def probe(*arguments, wrapper=(), timeout=120) -> dict:
    """One run of the probe: what it printed, an error included."""
    done = subprocess.run([*wrapper, program(), *map(str, arguments)], capture_output=True, check=False, timeout=timeout,
                          stdin=subprocess.DEVNULL)
    assert done.returncode in (0, 1, 2), done.stderr.decode("utf-8", "replace")
    return json.loads(done.stdout)


def fails(answer: dict, code: str) -> dict:
    """The error of an answer that must be one."""
    assert "error" in answer, answer
    assert answer["error"]["code"] == code, answer
    return answer["error"]


def read_places(target, *places, **options) -> tuple:
    """{(gpa, size): bytes or None}, and the whole answer."""
    arguments = [word for gpa, size in places for word in ("--read", f"{gpa:#x}:{size:#x}")]
    answer = probe(target, *arguments, *options.pop("extra", ()), **options)
    assert "error" not in answer, answer
    return {(gpa, size): None if "error" in (got := answer["reads"][f"{gpa:#x}:{size:#x}"]) else bytes.fromhex(got)
            for gpa, size in places}, answer


def read_at(target, *places, **options) -> tuple:
    """The same by address alone."""
    got, answer = read_places(target, *places, **options)
    return {gpa: data for (gpa, _), data in got.items()}, answer


def ranges_of(answer: dict, layout: int = 0) -> list:
    """(start, size) of RAM, pieces that touch joined."""
    joined = []
    for start, size, _ in answer["layouts"][layout]["extents"]:
        if joined and sum(joined[-1]) == start:
            joined[-1] = (joined[-1][0], joined[-1][1] + size)
        else:
            joined.append((start, size))
    return joined


def compare_everywhere(target, guest: Machine, extra=(), samples=40, wrapper=()):
    """Bytes at the marks, at all edges of the map, and at random places are QEMU's own."""
    _, answer = read_at(target, extra=extra, wrapper=wrapper)
    assert answer["layouts"], answer
    dice = random.Random(7)
    places = [(gpa, PAGE) for gpa in guest.marks]
    for start, size in ranges_of(answer):
        # Below 1 MiB the shadowed ROMs come and go: the monitor's map knows, the command line does not.
        first = max(start, MIB) if not answer["layouts"][0]["certain"] else start
        if first >= start + size:
            continue
        end = start + size
        places += [(first, 64), (end - 64, 64), (first, min(PAGE * 3, end - first))]
        places += [(first + dice.randrange((end - first) // 64) * 64, 64) for _ in range(samples)]
    got, answer = read_places(target, *places, extra=extra, wrapper=wrapper)
    for (gpa, size), data in got.items():
        assert data == guest.bytes_at(gpa, size), f"{gpa:#x}"
    for gpa in guest.marks:
        assert got[gpa, PAGE] == pattern(gpa), f"{gpa:#x}"
    return answer


def wait_for(condition, seconds: float = 30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


class OpenProbe:
    """A probe that keeps its target open."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([program(), "--wait", *map(str, arguments)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.first = json.loads(self.process.stdout.readline())

    def again(self) -> dict:
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()


def only_ptrace(*, with_capability: bool) -> tuple:
    """A wrapper that runs the probe as another user, with CAP_SYS_PTRACE or with nothing."""
    capability = ("--inh-caps", "-all,+sys_ptrace", "--ambient-caps", "+sys_ptrace") if with_capability else \
        ("--inh-caps", "-all")
    return ("setpriv", "--reuid", str(WATCHER), "--regid", str(WATCHER), "--clear-groups", *capability)
