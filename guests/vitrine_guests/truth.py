"""What a guest wrote about itself: the truth disk, and its content as Python data.

Names, arguments and paths of a guest are bytes: they need not be UTF-8.
"""

import bisect
import dataclasses
import functools
import pathlib
import re
import struct

MAGIC = b"VTRUTH1\n"
HEADER = struct.Struct("<8sIIQQQQII")
ENTRY = struct.Struct("<IIQ")
PAYLOAD_OFFSET = 4096
EMPTY, COMPLETE, FAILED = 0, 1, 2


class TruthError(Exception):
    """The disk holds no complete truth."""


@dataclasses.dataclass(frozen=True)
class Header:
    state: int
    payload_size: int
    entry_count: int
    checksum: int
    boots: int
    collector: int


def format_disk(path: pathlib.Path, size: int) -> None:
    """An empty (sparse) truth disk, which the guest knows by its first bytes."""
    with open(path, "wb") as disk:
        disk.write(HEADER.pack(MAGIC, 1, EMPTY, 0, 0, 0, 0, 0, 0))
        disk.truncate(size)


def read_header(path) -> Header:
    with open(path, "rb") as disk:
        data = disk.read(HEADER.size)
    if len(data) < HEADER.size:
        raise TruthError(f"{path}: shorter than a header")
    magic, version, state, size, count, checksum, boots, collector, _ = HEADER.unpack(data)
    if magic != MAGIC or version != 1:
        raise TruthError(f"{path}: not a truth disk")
    return Header(state, size, count, checksum, boots, collector)


def fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


@dataclasses.dataclass(frozen=True)
class Symbol:
    """One line of /proc/kallsyms."""

    address: int
    type: str
    name: str
    module: str  # "" for the kernel's own


@dataclasses.dataclass(frozen=True)
class Module:
    """One line of /proc/modules."""

    name: str
    size: int
    references: int
    used_by: tuple
    state: str
    address: int
    taints: str


@dataclasses.dataclass(frozen=True)
class Vma:
    """One line of /proc/PID/maps."""

    start: int
    end: int
    flags: str
    offset: int
    device: str
    inode: int
    path: bytes


class Task:
    """A process or one of its threads, by what /proc says of it."""

    def __init__(self, truth: "Truth", folder: str, pid: int, tid: int):
        self.truth, self.folder, self.pid, self.tid = truth, folder, pid, tid

    def __repr__(self) -> str:
        return f"<task {self.pid}/{self.tid} {self.comm!r}>"

    def read(self, name: str):
        """The file /proc/PID/NAME as bytes, or None."""
        return self.truth.get(f"{self.folder}/{name}")

    def link(self, name: str):
        """The target of the link /proc/PID/NAME, or None (no such link, or no permission)."""
        entry = self.truth.entries.get(f"{self.folder}/{name}".encode())
        return entry[1] if entry and entry[0] == "l" else None

    @functools.cached_property
    def _stat(self) -> list:
        text = self.read("stat")
        if text is None:
            raise TruthError(f"{self.folder}/stat is missing")
        return text[text.rindex(b")") + 1:].split()

    @functools.cached_property
    def status(self) -> dict:
        """/proc/PID/status; the name may hold escaped control characters."""
        lines = (self.read("status") or b"").split(b"\n")
        return {key.decode(): value.strip() for key, _, value in (line.partition(b":") for line in lines) if key}

    @property
    def comm(self) -> bytes:
        """As /proc shows it: kernel threads may carry more than the 15 bytes of the task."""
        return (self.read("comm") or b"\n")[:-1]

    @property
    def state(self) -> str:
        return self._stat[0].decode()

    @property
    def ppid(self) -> int:
        return int(self._stat[1])

    @property
    def pgid(self) -> int:
        return int(self._stat[2])

    @property
    def sid(self) -> int:
        return int(self._stat[3])

    @property
    def tty(self) -> int:
        return int(self._stat[4])

    @property
    def flags(self) -> int:
        return int(self._stat[6])

    @property
    def nice(self) -> int:
        return int(self._stat[16])

    @property
    def start_ticks(self) -> int:
        """Start time in 1/100 s since boot."""
        return int(self._stat[19])

    @property
    def kernel_thread(self) -> bool:
        return bool(self.flags & 0x00200000)  # PF_KTHREAD

    def ids(self, name: str) -> tuple:
        """Uid or Gid: (real, effective, saved, filesystem)."""
        return tuple(int(word) for word in self.status[name].split())

    @property
    def nspids(self) -> tuple:
        """The id in each pid namespace, outermost first."""
        return tuple(int(word) for word in self.status.get("NSpid", b"").split())

    @property
    def namespaces(self) -> dict:
        """Kind of namespace to inode number."""
        prefix = f"{self.folder}/ns/".encode()
        found = {}
        for name, (kind, data) in self.truth.below(prefix):
            match = re.search(rb"\[(\d+)\]", data)
            if kind == "l" and match:
                found[name[len(prefix):].decode()] = int(match[1])
        return found


class Process(Task):
    """A thread group."""

    @property
    def cmdline(self) -> bytes:
        return self.read("cmdline") or b""

    @property
    def environ(self) -> bytes:
        return self.read("environ") or b""

    @property
    def exe(self):
        return self.link("exe")

    @property
    def cwd(self):
        return self.link("cwd")

    @property
    def root(self):
        return self.link("root")

    @property
    def threads(self) -> dict:
        """Thread id to Task."""
        return self.truth.threads_of(self.pid)

    @property
    def fds(self) -> dict:
        """File descriptor to link target."""
        prefix = f"{self.folder}/fd/".encode()
        return {int(name[len(prefix):]): data for name, (kind, data) in self.truth.below(prefix) if kind == "l"}

    def fdinfo(self, number: int) -> dict:
        """pos, flags, mnt_id ... of an open file."""
        lines = (self.read(f"fdinfo/{number}") or b"").decode("utf-8", "replace").splitlines()
        return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}

    @property
    def vmas(self) -> list:
        found = []
        # A path may hold anything but a newline, which the kernel escapes.
        for line in (self.read("maps") or b"").split(b"\n"):
            words = line.split(None, 5)
            if len(words) < 5:
                continue
            start, _, end = words[0].partition(b"-")
            found.append(Vma(int(start, 16), int(end, 16), words[1].decode(), int(words[2], 16), words[3].decode(),
                             int(words[4]), words[5] if len(words) > 5 else b""))
        return found

    @property
    def pages(self) -> list:
        """(virtual address, page frame number) of the pages that were present."""
        data = self.read("pagemap.present") or b""
        return [(address, entry & ((1 << 55) - 1)) for address, entry in struct.iter_unpack("<QQ", data)]


class Truth:
    """The content of a truth disk. Parsed when first asked for."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.header = read_header(path)
        if self.header.state != COMPLETE:
            raise TruthError(f"{path}: the guest has not (or not wholly) written it")

    @functools.cached_property
    def payload(self) -> bytes:
        with open(self.path, "rb") as disk:
            disk.seek(PAYLOAD_OFFSET)
            data = disk.read(self.header.payload_size)
        if len(data) != self.header.payload_size:
            raise TruthError(f"{self.path}: cut off")
        return data

    @functools.cached_property
    def entries(self) -> dict:
        """Name (bytes) to (kind, content): 'f' file, 'l' link, 'e' error number as text."""
        found, at, data = {}, 0, self.payload
        for _ in range(self.header.entry_count):
            kind, name_size, size = ENTRY.unpack_from(data, at)
            at += ENTRY.size
            end = at + name_size + size
            if end > len(data):
                raise TruthError(f"{self.path}: an entry goes past the end")
            found[data[at:at + name_size]] = (chr(kind), data[at + name_size:end])
            at = end + (-(name_size + size) % 8)
        if at != len(data):
            raise TruthError(f"{self.path}: bytes left over after the last entry")
        return found

    def verify(self) -> None:
        """Checks the checksum over everything (seconds; parsing checks the structure anyway)."""
        if fnv1a(self.payload) != self.header.checksum:
            raise TruthError(f"{self.path}: wrong checksum")

    @functools.cached_property
    def _sorted_names(self) -> list:
        return sorted(self.entries)

    def below(self, prefix: bytes):
        """(name, entry) of all names that start with `prefix`."""
        for name in self._sorted_names[bisect.bisect_left(self._sorted_names, prefix):]:
            if not name.startswith(prefix):
                return
            yield name, self.entries[name]

    def get(self, name):
        """The content of a file as bytes, or None where there was none."""
        entry = self.entries.get(name.encode() if isinstance(name, str) else name)
        return entry[1] if entry and entry[0] == "f" else None

    def __getitem__(self, name) -> bytes:
        data = self.get(name)
        if data is None:
            raise KeyError(name)
        return data

    def __contains__(self, name) -> bool:
        return self.get(name) is not None

    def text(self, name: str) -> str:
        return self[name].decode("utf-8", "replace").strip()

    @functools.cached_property
    def _tasks(self) -> tuple:
        processes, threads = {}, {}
        for name in self.entries:
            match = re.fullmatch(rb"/proc/(\d+)(?:/task/(\d+))?/stat", name)
            if not match or self.entries[name][0] != "f":
                continue
            pid = int(match[1])
            if match[2] is None:
                processes[pid] = Process(self, f"/proc/{pid}", pid, pid)
            else:
                tid = int(match[2])
                threads.setdefault(pid, {})[tid] = Task(self, f"/proc/{pid}/task/{tid}", pid, tid)
        return processes, threads

    @property
    def processes(self) -> dict:
        """Process id to Process."""
        return self._tasks[0]

    @property
    def threads(self) -> dict:
        """Thread id to Task, of all processes (each main thread among them)."""
        return {tid: task for threads in self._tasks[1].values() for tid, task in threads.items()}

    def threads_of(self, pid: int) -> dict:
        return self._tasks[1].get(pid, {})

    @functools.cached_property
    def workload(self) -> dict:
        """Label of the known workload to process id."""
        pairs = (line.split("\t", 1) for line in self.text("/run/workload.plan").splitlines())
        return {label: int(pid) for pid, label in pairs if int(pid)}

    @property
    def workload_failures(self) -> list:
        """What of the workload this kernel refused, each with the reason."""
        pairs = (line.split("\t", 1) for line in self.text("/run/workload.plan").splitlines())
        return [label for pid, label in pairs if not int(pid)]

    @property
    def collector(self) -> int:
        """The process that wrote this; it sleeps on afterwards."""
        return self.header.collector

    def _listing(self, name: str) -> set:
        return {tuple(int(word) for word in line.split()) for line in self.text(name).splitlines()}

    @property
    def tasks_before(self) -> set:
        """(pid, tid, start) of every task before the processes were read ..."""
        return self._listing("tasks.before")

    @property
    def tasks_after(self) -> set:
        """... and after."""
        return self._listing("tasks.after")

    @functools.cached_property
    def kallsyms(self) -> list:
        """Every line of /proc/kallsyms, in order."""
        found = []
        for line in self["/proc/kallsyms"].decode().splitlines():
            words = line.split()
            found.append(Symbol(int(words[0], 16), words[1], words[2], words[3][1:-1] if len(words) > 3 else ""))
        return found

    @functools.cached_property
    def core_symbols(self) -> list:
        return [symbol for symbol in self.kallsyms if not symbol.module]

    def symbol(self, name: str) -> int:
        """The address of the kernel's only symbol of that name."""
        found = [symbol.address for symbol in self.core_symbols if symbol.name == name]
        if len(found) != 1:
            raise KeyError(f"{name}: {len(found)} symbols")
        return found[0]

    @property
    def btf(self) -> bytes:
        """The kernel's own type information."""
        return self["/sys/kernel/btf/vmlinux"]

    @property
    def module_btf(self) -> dict:
        """Module name to its type information."""
        prefix = b"/sys/kernel/btf/"
        return {name[len(prefix):].decode(): data for name, (kind, data) in self.below(prefix)
                if kind == "f" and name != prefix + b"vmlinux"}

    @functools.cached_property
    def modules(self) -> dict:
        """Module name to Module, newest first as in /proc/modules."""
        found = {}
        for line in self.text("/proc/modules").splitlines():
            name, size, references, users, state, address, *taints = line.split()
            used_by = tuple(user for user in users.split(",") if user and user != "-")
            found[name] = Module(name, int(size), int(references), used_by, state, int(address, 16),
                                 taints[0].strip("()") if taints else "")
        return found

    def module_file(self, module: str, name: str):
        """/sys/module/MODULE/NAME, e.g. sections/.text, stripped; or None."""
        data = self.get(f"/sys/module/{module}/{name}")
        return data.decode().strip() if data is not None else None

    @property
    def release(self) -> str:
        return self.text("/proc/sys/kernel/osrelease")

    @property
    def version(self) -> str:
        return self.text("/proc/version")

    @property
    def boot_id(self) -> str:
        return self.text("/proc/sys/kernel/random/boot_id")

    @property
    def clocks(self) -> dict:
        """realtime, monotonic and boottime in seconds, when everything was written."""
        return {name: float(value) for name, value in (line.split() for line in self.text("clocks").splitlines())}

    @property
    def kallsyms_text(self) -> bytes:
        return self["/proc/kallsyms"]
