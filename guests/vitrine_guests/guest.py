"""A running test guest."""

import atexit
import contextlib
import ctypes
import dataclasses
import fcntl
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import weakref

from . import accel as accelerators
from . import dumps, initramfs, kernels
from .config import MIB, GuestConfig, command_line
from .qmp import Qmp
from .truth import COMPLETE, FAILED, Truth, TruthError, format_disk, read_header

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_running = weakref.WeakSet()


class GuestError(Exception):
    """A guest that did not start, did not become ready, or ended."""


class Unavailable(GuestError):
    """This machine cannot make such a guest (no hugepages, say): not a failure of what is tested."""


def require_qemu(config: GuestConfig) -> None:
    """Raises Unavailable when there is no such program."""
    if not shutil.which(config.program()):
        raise Unavailable(f"{config.program()} is not installed")


def _die_with(parent: int):
    """For the child, before exec: end when the parent does, however that ends.
    (The thread that starts a guest must therefore live as long as the guest.)"""
    def prepare():
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
    return prepare


def _run_root() -> pathlib.Path:
    root = pathlib.Path(tempfile.gettempdir()) / f"vitrine-guests-{os.getuid()}"
    root.mkdir(mode=0o711, exist_ok=True)
    return root


def _sweep(root: pathlib.Path) -> None:
    """Removes what runs left behind that were killed: nobody holds their lock."""
    for folder in root.iterdir():
        try:
            with open(folder / "lock", "rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)
        except OSError:
            continue


def _remove(folder: pathlib.Path) -> None:
    for link in folder.glob("ram-link"):
        with contextlib.suppress(OSError):
            pathlib.Path(os.readlink(link)).unlink()
    shutil.rmtree(folder, ignore_errors=True)


def _huge_pages_free() -> int:
    return int(pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages").read_text(encoding="ascii"))


class Guest:
    """Made by Guest.boot(); ends with stop(), with its `with` block, or with this process."""

    def __init__(self, config: GuestConfig, accel: str, kernel: kernels.Kernel):
        self.config, self.accel, self.kernel = config, accel, kernel
        self.name = config.name
        self.boot_seconds = None
        self._process = None
        self._truth = None
        self._huge_before = None
        root = _run_root()
        _sweep(root)
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=root, prefix=f"{os.getpid()}-"))
        self._lock = open(self.folder / "lock", "wb")  # pylint: disable=consider-using-with
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.truth_path = self.folder / "truth" if config.truth_mib else None
        self.qmp_path = str(self.folder / "qmp") if config.qmp else None
        self.console_path = self.folder / "console"
        self._ram_path = self._choose_ram_path()

    @classmethod
    def boot(cls, config: GuestConfig | None = None, **changes) -> "Guest":
        """Starts a guest; it is not ready before wait_ready() has returned."""
        config = dataclasses.replace(config or GuestConfig(), **changes)
        require_qemu(config)
        if not config.name:
            config = dataclasses.replace(config, name=f"vitrine-{config.kernel}-{os.getpid()}-{secrets.token_hex(3)}")
        kernel = kernels.ensure(config.kernel)
        guest = cls(config, accelerators.choose(config), kernel)
        try:
            guest._start()
        except BaseException:
            guest.stop()
            raise
        return guest

    def _choose_ram_path(self) -> str:
        """RAM files lie in memory where there is room, else beside the rest."""
        if not self.config.backend.startswith("file-"):
            return ""
        shm = pathlib.Path("/dev/shm")
        size = self.config.memory_mib * MIB
        if not shm.is_dir() or shutil.disk_usage(shm).free < 2 * size:
            return str(self.folder / "ram")
        path = shm / f"vitrine-guests-{self.folder.name}"
        (self.folder / "ram-link").symlink_to(path)
        return str(path)

    def _reserve_huge_pages(self) -> None:
        needed = (self.config.memory_mib + 1) // 2
        control = pathlib.Path("/proc/sys/vm/nr_hugepages")
        try:
            before = int(control.read_text(encoding="ascii"))
            if _huge_pages_free() < needed:
                self._huge_before = before
                control.write_text(str(before + needed - _huge_pages_free()), encoding="ascii")
            free = _huge_pages_free()
        except OSError as error:
            raise Unavailable(f"hugepages: {error.strerror}") from error
        if free < needed:
            raise Unavailable(f"hugepages: {needed} wanted, {free} to be had")

    def _start(self) -> None:
        config = self.config
        if config.backend == "hugetlb":
            self._reserve_huge_pages()
        initrd = initramfs.build(self.kernel, dict(config.extra_files), config.extra_modules)
        if self.truth_path:
            format_disk(self.truth_path, config.truth_mib * MIB)
        if config.uid is not None:
            for path in (self.folder, self.truth_path):
                if path:
                    os.chown(path, config.uid, -1)
        self.command = command_line(config, self.accel, self.folder, self.kernel.vmlinuz, initrd, self._ram_path,
                                    str(self.truth_path or ""))
        user = {} if config.uid is None else {"user": config.uid, "group": config.uid, "extra_groups": []}
        with open(self.folder / "qemu.log", "wb") as log:
            self._process = subprocess.Popen(  # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                preexec_fn=_die_with(os.getpid()), **user)
        self._started = time.monotonic()
        _running.add(self)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def console(self) -> str:
        """What the guest said on its serial port so far."""
        try:
            return self.console_path.read_bytes().decode("utf-8", "replace")
        except OSError:
            return ""

    def _complaint(self, what: str) -> str:
        log = (self.folder / "qemu.log").read_text(encoding="utf-8", errors="replace").strip()
        tail = "\n".join((log + "\n" + self.console()).strip().splitlines()[-12:])
        return f"{self.name} ({self.accel}): {what}" + (f"\n{tail}" if tail else "")

    def wait_ready(self, timeout: float = 180.0) -> "Guest":
        """Returns when the workload stands and the truth is on the disk."""
        deadline = time.monotonic() + timeout
        while True:
            if self._is_ready():
                self.boot_seconds = time.monotonic() - self._started
                return self
            if not self.alive:
                raise GuestError(self._complaint(f"QEMU ended with status {self._process.poll()}"))
            if time.monotonic() > deadline:
                raise GuestError(self._complaint(f"not ready after {timeout:.0f} s"))
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        if not self.truth_path:
            return "vitrine: ready" in self.console()
        state = read_header(self.truth_path).state
        if state == FAILED:
            raise GuestError(self._complaint("the guest could not write its truth"))
        return state == COMPLETE and "vitrine: ready" in self.console()

    def wait_reboot(self, boots: int = 2, timeout: float = 180.0) -> "Guest":
        """Returns when the guest has started `boots` times and is ready again."""
        deadline = time.monotonic() + timeout
        while read_header(self.truth_path).boots < boots:
            if time.monotonic() > deadline or not self.alive:
                raise GuestError(self._complaint(f"no boot number {boots}"))
            time.sleep(0.02)
        self._truth = None
        return self.wait_ready(max(1.0, deadline - time.monotonic()))

    @property
    def truth(self) -> Truth:
        """What the guest wrote about itself (of its last boot, if it rebooted)."""
        if not self.truth_path:
            raise TruthError(f"{self.name} has no truth disk")
        if self._truth is None:
            self._truth = Truth(self.truth_path)
        return self._truth

    def qmp(self, timeout: float = 10.0) -> Qmp:
        """A connection to the monitor, to be closed soon: it serves one client."""
        if not self.qmp_path:
            raise GuestError(f"{self.name} has no QMP socket")
        return Qmp(self.qmp_path, timeout)

    def pause(self) -> None:
        """Stops the virtual machine; without a QMP socket the whole process."""
        if not self.qmp_path:
            os.kill(self.pid, signal.SIGSTOP)
            return
        with self.qmp() as qmp:
            qmp("stop")

    def cont(self) -> None:
        """Lets it go on."""
        if not self.qmp_path:
            os.kill(self.pid, signal.SIGCONT)
            return
        with self.qmp() as qmp:
            qmp("cont")

    @contextlib.contextmanager
    def paused(self):
        """Stopped inside the block, and as before after it."""
        if self.qmp_path:
            with self.qmp() as qmp:
                running = qmp("query-status")["running"]
        else:
            running = True
        if running:
            self.pause()
        try:
            yield self
        finally:
            if running and self.alive:
                self.cont()

    def registers(self) -> str:
        """The registers of all virtual processors, as QEMU's monitor prints them."""
        with self.qmp() as qmp:
            return qmp.monitor("info registers -a")

    def dump_raw(self, path) -> pathlib.Path:
        """Guest-physical memory as one (sparse) file; holes are zeros."""
        with self.paused():
            return dumps.raw(self, pathlib.Path(path))

    def dump_elf(self, path) -> pathlib.Path:
        """QEMU's own dump-guest-memory, an ELF core."""
        with self.paused():
            return dumps.elf(self, pathlib.Path(path))

    @property
    def ram_file(self):
        """The file or memfd that is the guest's RAM in block order, or None for private memory.
        (With two NUMA backends: the first.)"""
        if self.config.backend == "file-shared":
            return self._ram_path
        if self.config.backend in ("memfd-shared", "hugetlb", "numa2"):
            for entry in sorted(pathlib.Path(f"/proc/{self.pid}/fd").iterdir(), key=lambda item: int(item.name)):
                with contextlib.suppress(OSError):
                    if os.readlink(entry).startswith("/memfd:memory-backend-memfd"):
                        return str(entry)
        return None

    def describe(self) -> dict:
        """For people and scripts."""
        return {"name": self.name, "pid": self.pid, "accel": self.accel, "kernel": self.kernel.release,
                "qmp": self.qmp_path, "ram_file": self.ram_file, "backend": self.config.backend,
                "truth": str(self.truth_path) if self.truth_path else None, "console": str(self.console_path),
                "boot_seconds": round(self.boot_seconds, 2) if self.boot_seconds else None}

    def stop(self) -> None:
        """Ends QEMU and removes its files. May be called again."""
        _running.discard(self)
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._huge_before is not None:
            with contextlib.suppress(OSError):
                pathlib.Path("/proc/sys/vm/nr_hugepages").write_text(str(self._huge_before), encoding="ascii")
            self._huge_before = None
        if not self._lock.closed:
            _remove(self.folder)
            self._lock.close()

    def __enter__(self) -> "Guest":
        return self

    def __exit__(self, *unused) -> None:
        self.stop()


@atexit.register
def stop_all() -> None:
    """Ends every guest of this process."""
    for guest in list(_running):
        guest.stop()
