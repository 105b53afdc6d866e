"""Memory images of a guest, as sparse files."""

import concurrent.futures
import contextlib
import fcntl
import os
import pathlib
import subprocess
import time

GRAIN = 64 * 1024
PIPE_SIZE = 1 << 20
DUMP_TIMEOUT_S = 600.0


def _copy_sparse(source, target, offset: int) -> int:
    """All of `source` to `target` at `offset`, blocks of zeros left out; where it ended."""
    zeros = bytes(GRAIN)
    position = offset
    while block := source.read(GRAIN):
        if block != zeros[:len(block)]:
            target.seek(position)
            target.write(block)
        position += len(block)
    return position


class _Pipe:
    """A named pipe that QEMU writes to in place of a file: memory that is never written to a disk."""

    def __init__(self, guest):
        self.path = guest.folder / "pipe"

    def __enter__(self):
        os.mkfifo(self.path)
        os.chmod(self.path, 0o622)  # QEMU may run as another user
        return self

    def __exit__(self, *unused):
        self.path.unlink()

    def copy(self, command, target, offset: int) -> int:
        """What `command` makes QEMU write goes to `target` at `offset`; where it ended."""
        with concurrent.futures.ThreadPoolExecutor(1) as reader:
            ended = reader.submit(self._read, target, offset)
            try:
                command()
            finally:
                self._release(ended)
            return ended.result()

    def _read(self, target, offset: int) -> int:
        with open(self.path, "rb", buffering=PIPE_SIZE) as source:
            with contextlib.suppress(OSError):
                fcntl.fcntl(source.fileno(), fcntl.F_SETPIPE_SZ, PIPE_SIZE)
            return _copy_sparse(source, target, offset)

    def _release(self, ended) -> None:
        """A reader that waits for a writer which never came gets one that writes nothing."""
        while not ended.done():
            with contextlib.suppress(OSError):
                os.close(os.open(self.path, os.O_WRONLY | os.O_NONBLOCK))
            time.sleep(0.01)


def raw(guest, path: pathlib.Path) -> pathlib.Path:
    """Guest-physical address = file offset."""
    ranges = guest.config.physical_ranges
    with guest.qmp() as qmp, open(path, "wb") as target, _Pipe(guest) as pipe:
        for start, size in ranges:
            end = pipe.copy(lambda start=start, size=size: qmp("pmemsave", timeout=DUMP_TIMEOUT_S, val=start, size=size,
                                                               filename=str(pipe.path)), target, start)
            if end != start + size:
                raise OSError(f"{guest.name}: the dump of {start:#x} ends at {end:#x} and not at {start + size:#x}")
        target.truncate(sum(ranges[-1]))
    return path


def elf(guest, path: pathlib.Path) -> pathlib.Path:
    """What `virsh dump --memory-only` makes: QEMU's ELF core, with the register notes."""
    with guest.qmp() as qmp, open(path, "wb") as target, _Pipe(guest) as pipe:
        size = pipe.copy(lambda: qmp("dump-guest-memory", timeout=DUMP_TIMEOUT_S, paging=False, protocol=f"file:{pipe.path}"), target, 0)
        target.truncate(size)
    return path


def allocated_blocks(path) -> int:
    """512-byte blocks a file (or memfd through /proc) really takes."""
    return os.stat(path).st_blocks


def qemu_version(program: str) -> str:
    """The first line of `QEMU --version`."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.split("\n")[0]
